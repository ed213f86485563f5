"""A model for JAX, written by wootz: forward(parameters, data).

Parameters and results are dicts of arrays by name.

It computes in float64: enable that before this is imported,
`jax.config.update("jax_enable_x64", True)`.
"""

import jax
import jax.numpy as jnp
from jax import lax

CONSTANT_1 = jnp.array([[3, 0, 3, 0, 3]], dtype=jnp.int32)
CONSTANT_2 = jnp.array(
    [[-0.020202707317519466, 0.0, -0.030459207484708574, 0.0, -0.05129329438755058]],
    dtype=jnp.float64,
)
CONSTANT_3 = jnp.array(
    [[0.02955880224154443, 0.0, 0.01980262729617973, 0.0, 0.058268908123975824]],
    dtype=jnp.float64,
)
CONSTANT_4 = jnp.array(
    [[0.0017540846988027005, 0.0, -0.0019978953474945912, 0.0, 0.001307273051478932]],
    dtype=jnp.float64,
)
CONSTANT_5 = jnp.array(
    [[-1.4544397595265076e-5, 0.0, 1.673270006235007e-5, 0.0, -2.384294951472381e-5]],
    dtype=jnp.float64,
)
CONSTANT_6 = jnp.array(
    [[-0.005846441113199982, 0.0, 0.0066591028404731885, 0.0, -0.004355442867147536]],
    dtype=jnp.float64,
)
CONSTANT_7 = jnp.array(
    [[9.014366518047618e-5, 0.0, -9.743762455705026e-5, 0.0, 0.0001711039689262722]],
    dtype=jnp.float64,
)
CONSTANT_8 = jnp.array(
    [[0.009092356414397287, 0.0, -0.009661207492978602, 0.0, 0.008048169815668608]],
    dtype=jnp.float64,
)
CONSTANT_9 = jnp.array(
    [[0.02492440073241481, 0.0, 0.02508070492449472, 0.0, 0.05485273898058849]],
    dtype=jnp.float64,
)
CONSTANT_10 = jnp.array(
    [[200.0, 60.0, 50.0, 12.0, 5.0], [180.0, 70.0, 40.0, 9.0, 8.0]], dtype=jnp.float64
)
CONSTANT_11 = jnp.array(
    [[[0.0, 0.0, 2.75, 0.75, 0.0], [0.0, 0.0, -1.25, -0.25, 0.0]]], dtype=jnp.float64
)
CONSTANT_12 = jnp.array(
    [
        [
            [0.0, 0.0, 0.03125, -0.03125, 0.0],
            [0.0, 0.0, -0.03125, 0.018750000000000044, 0.0],
        ],
    ],
    dtype=jnp.float64,
)
CONSTANT_14 = jnp.array([1, 0, 1, 0, 1], dtype=jnp.int32)
CONSTANT_15 = jnp.array([1, 0, 1, 0, 1], dtype=jnp.bool_)
CONSTANT_17 = jnp.array([0, 0, 0, 0, 2], dtype=jnp.int32)
CONSTANT_18 = jnp.array([0, 0, 0, 0, 1], dtype=jnp.bool_)
CONSTANT_20 = jnp.array([0, 4, 6, 6, 0, 0, 5, 7, 7, 0], dtype=jnp.int32)
CONSTANT_21 = jnp.array([0, 1, 1, 1, 0, 0, 1, 1, 1, 0], dtype=jnp.bool_)
CONSTANT_22 = jnp.array([[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 1, 1]], dtype=jnp.bool_)
CONSTANT_24 = jnp.array([0, 0, 2, 2, 2, 1, 1, 3, 3, 3], dtype=jnp.int32)
CONSTANT_26 = jnp.array([4, 5, 4, 6, 4, 4, 7, 8], dtype=jnp.int32)
CONSTANT_27 = jnp.array(
    [1.0, 2500.0, 0.0, 1.0, 0.0, 0.0, 452.2352941176471, 441.36029411764713],
    dtype=jnp.float64,
)
CONSTANT_28 = jnp.array(
    [-0.5, -1250.0, -0.0, -0.5, -0.0, -0.0, -226.11764705882354, -220.68014705882356],
    dtype=jnp.float64,
)
CONSTANT_30 = jnp.array([0, 5, 2, 7, 1, 6, 3, 8, 0, 5, 4, 9], dtype=jnp.int32)
CONSTANT_31 = jnp.array([0, 0, 0, 0, 0], dtype=jnp.int32)
CONSTANT_33 = jnp.array([3, 0, 3, 0, 3], dtype=jnp.int32)


@jax.jit
def forward(parameters, data):
    """parameters: f64[8], data: f64[9] -> logpdf: f64[], grad.parameters: f64[8]"""
    rows = parameters[CONSTANT_1]
    rows1 = parameters[jnp.zeros((1, 5), dtype=jnp.int32)]
    t = jnp.where(rows > 0.0, CONSTANT_3, CONSTANT_2)
    abs1 = jnp.abs(rows)
    mask = abs1 < 1.0
    t1 = jnp.where(mask, rows, 0.0)
    t2 = t1 * CONSTANT_4 + CONSTANT_5
    t3 = t1 * t2 + CONSTANT_6
    t4 = t1 * t3 + CONSTANT_7
    t5 = t1 * t4 + CONSTANT_8
    t6 = t1 * t5 + CONSTANT_9
    t7 = t1 * t6 + 1.0
    mask1 = rows1 > 1.0
    mask2 = rows1 < -1.0
    t8 = rows1 * rows1
    t9 = t8 * 3.0 + -10.0
    t10 = t8 * t9 + 15.0
    t11 = rows1 * 8.0
    v = jnp.where(mask1, t11, jnp.where(mask2, -t11, t8 * t10))[:, None]
    t12 = (rows1[:, None] * CONSTANT_11 + v * CONSTANT_12).sum(axis=0) + CONSTANT_10
    exp = jnp.exp((t * jnp.where(mask, 0.0, abs1) + jnp.log(t7)).sum(axis=0))
    t13 = jnp.where(CONSTANT_15, parameters[CONSTANT_14], 1.0)
    t14 = jnp.where(CONSTANT_18, parameters[CONSTANT_17], 1.0)
    t15 = t13 * t14
    v1 = exp * t15
    t16 = t12 * v1
    t17 = jnp.where(CONSTANT_21, parameters[CONSTANT_20], 1.0)
    v2 = jnp.zeros((4,), dtype=jnp.float64)
    scatter_add1 = v2.at[CONSTANT_24].add((t16 * t17.reshape((2, 5))).reshape((10,)))
    v3 = data[:4]
    mask3 = v3 == 0.0
    t18 = jnp.where(mask3, 1.0, scatter_add1)
    mask4 = scatter_add1 < 0.0
    t19 = (
        v3 * jnp.log(t18)
        + jnp.where(mask4, jnp.nan, -scatter_add1)
        - lax.lgamma(v3 + 1.0)
    )
    t20 = data[CONSTANT_26] - parameters
    t21 = (t20 * t20 * CONSTANT_27).sum(axis=0) * -0.5 - -5.41936241037844
    logpdf = t19.sum(axis=0) + t21
    t22 = t20 * CONSTANT_28
    t23 = jnp.where(mask3, 0.0, v3 / t18) - jnp.where(mask4, jnp.float64(0.0), 1.0)
    v4 = jnp.zeros((10,), dtype=jnp.float64)
    scatter_add2 = v4.at[CONSTANT_30].add(
        jnp.where(CONSTANT_22, t23, 0.0).reshape((12,))
    )
    v5 = (t17 * scatter_add2).reshape((2, 5))
    t24 = jnp.where(
        CONSTANT_21, (t16 * scatter_add2.reshape((2, 5))).reshape((10,)), 0.0
    )
    v6 = jnp.zeros((8,), dtype=jnp.float64)
    total = (t12 * v5).sum(axis=0)
    t25 = exp * total
    v7 = jnp.zeros((8,), dtype=jnp.float64)
    scatter_add3 = v7.at[CONSTANT_17].add(jnp.where(CONSTANT_18, t13 * t25, 0.0))
    v8 = jnp.zeros((8,), dtype=jnp.float64)
    scatter_add4 = v8.at[CONSTANT_14].add(jnp.where(CONSTANT_15, t14 * t25, 0.0))
    t26 = v6.at[CONSTANT_20].add(t24) - (t22 + t22) + scatter_add3 + scatter_add4
    v9 = exp * (t15 * total)
    v10 = v1 * v5
    total1 = (v10 * CONSTANT_12).sum(axis=1)
    t27 = jnp.where(mask1, 0.0, total1)
    t28 = jnp.where(mask2, 0.0, t27)
    t29 = (jnp.where(mask1, total1, 0.0) - jnp.where(mask2, t27, 0.0)) * 8.0
    t30 = t8 * t28
    t31 = rows1 * (t10 * t28 + t9 * t30 + t8 * t30 * 3.0)
    t32 = v9 / t7
    t33 = t1 * t32
    t34 = t1 * t33
    t35 = t1 * t34
    t36 = t1 * t35
    t37 = t6 * t32 + t5 * t33 + t4 * t34 + t3 * t35 + t2 * t36 + t1 * t36 * CONSTANT_4
    t38 = jnp.where(mask, t37, 0.0) + jnp.where(mask, 0.0, t * v9) * jnp.sign(rows)
    v11 = (t31 + ((v10 * CONSTANT_11).sum(axis=1) + t29 + t31)).reshape((5,))
    v12 = jnp.zeros((8,), dtype=jnp.float64)
    v13 = jnp.zeros((8,), dtype=jnp.float64)
    grad_parameters = (
        t26 + v12.at[CONSTANT_31].add(v11) + v13.at[CONSTANT_33].add(t38.reshape((5,)))
    )
    return {"logpdf": logpdf, "grad.parameters": grad_parameters}

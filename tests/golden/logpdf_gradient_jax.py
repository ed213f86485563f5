"""A model for JAX, written by wootz: forward(parameters, data).

Parameters and results are dicts of arrays by name.

It computes in float64: enable that before this is imported,
`jax.config.update("jax_enable_x64", True)`.
"""

import jax
import jax.numpy as jnp
from jax import lax

CONSTANT_0 = jnp.array(
    [[200.0, 60.0, 50.0, 12.0, 5.0], [180.0, 70.0, 40.0, 9.0, 8.0]], dtype=jnp.float64
)
CONSTANT_1 = jnp.array(
    [[[0.0, 0.0, 2.75, 0.75, 0.0], [0.0, 0.0, -1.25, -0.25, 0.0]]], dtype=jnp.float64
)
CONSTANT_2 = jnp.array(
    [
        [
            [0.0, 0.0, 0.03125, -0.03125, 0.0],
            [0.0, 0.0, -0.03125, 0.018750000000000044, 0.0],
        ],
    ],
    dtype=jnp.float64,
)
CONSTANT_4 = jnp.array([[3, 0, 3, 0, 3]], dtype=jnp.int32)
CONSTANT_5 = jnp.array(
    [[-0.020202707317519466, 0.0, -0.030459207484708574, 0.0, -0.05129329438755058]],
    dtype=jnp.float64,
)
CONSTANT_6 = jnp.array(
    [[0.02955880224154443, 0.0, 0.01980262729617973, 0.0, 0.058268908123975824]],
    dtype=jnp.float64,
)
CONSTANT_7 = jnp.array(
    [[0.0017540846988027005, 0.0, -0.0019978953474945912, 0.0, 0.001307273051478932]],
    dtype=jnp.float64,
)
CONSTANT_8 = jnp.array(
    [[-1.4544397595265076e-5, 0.0, 1.673270006235007e-5, 0.0, -2.384294951472381e-5]],
    dtype=jnp.float64,
)
CONSTANT_9 = jnp.array(
    [[-0.005846441113199982, 0.0, 0.0066591028404731885, 0.0, -0.004355442867147536]],
    dtype=jnp.float64,
)
CONSTANT_10 = jnp.array(
    [[9.014366518047618e-5, 0.0, -9.743762455705026e-5, 0.0, 0.0001711039689262722]],
    dtype=jnp.float64,
)
CONSTANT_11 = jnp.array(
    [[0.009092356414397287, 0.0, -0.009661207492978602, 0.0, 0.008048169815668608]],
    dtype=jnp.float64,
)
CONSTANT_12 = jnp.array(
    [[0.02492440073241481, 0.0, 0.02508070492449472, 0.0, 0.05485273898058849]],
    dtype=jnp.float64,
)
CONSTANT_14 = jnp.array([1, 0, 1, 0, 1], dtype=jnp.int32)
CONSTANT_15 = jnp.array([1, 0, 1, 0, 1], dtype=jnp.bool_)
CONSTANT_17 = jnp.array([0, 0, 0, 0, 2], dtype=jnp.int32)
CONSTANT_18 = jnp.array([0, 0, 0, 0, 1], dtype=jnp.bool_)
CONSTANT_20 = jnp.array([0, 4, 6, 6, 0, 0, 5, 7, 7, 0], dtype=jnp.int32)
CONSTANT_21 = jnp.array([0, 1, 1, 1, 0, 0, 1, 1, 1, 0], dtype=jnp.bool_)
CONSTANT_23 = jnp.array([[0, 5, 2, 7], [1, 6, 3, 8], [0, 5, 4, 9]], dtype=jnp.int32)
CONSTANT_24 = jnp.array([[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 1, 1]], dtype=jnp.bool_)
CONSTANT_26 = jnp.array([4, 5, 4, 6, 4, 4, 7, 8], dtype=jnp.int32)
CONSTANT_27 = jnp.array(
    [1.0, 2500.0, 0.0, 1.0, 0.0, 0.0, 452.2352941176471, 441.36029411764713],
    dtype=jnp.float64,
)
CONSTANT_29 = jnp.array(
    [[0, 4, 2, 6, 10, 1, 5, 3, 7, 11], [8, 4, 2, 6, 10, 9, 5, 3, 7, 11]],
    dtype=jnp.int32,
)
CONSTANT_30 = jnp.array(
    [[1, 1, 1, 1, 1, 1, 1, 1, 1, 1], [1, 0, 0, 0, 0, 1, 0, 0, 0, 0]], dtype=jnp.bool_
)
CONSTANT_32 = jnp.array(
    [
        [0, 0, 0, 0, 1, 6, 2, 7],
        [4, 0, 0, 0, 1, 6, 3, 8],
        [5, 0, 0, 0, 1, 6, 2, 7],
        [9, 0, 0, 0, 1, 6, 3, 8],
    ],
    dtype=jnp.int32,
)
CONSTANT_33 = jnp.array(
    [
        [1, 0, 0, 0, 1, 1, 1, 1],
        [1, 0, 0, 0, 0, 0, 1, 1],
        [1, 0, 0, 0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0, 0, 0],
    ],
    dtype=jnp.bool_,
)
CONSTANT_35 = jnp.array([[0, 4], [1, 4], [2, 4], [3, 4]], dtype=jnp.int32)
CONSTANT_36 = jnp.array([[1, 1], [1, 0], [1, 0], [1, 0]], dtype=jnp.bool_)
CONSTANT_38 = jnp.array([[0, 0, 1, 0, 0, 0, 0, 0]], dtype=jnp.int32)
CONSTANT_39 = jnp.array([[1, 0, 1, 0, 0, 0, 0, 0]], dtype=jnp.bool_)
CONSTANT_41 = jnp.array(
    [[1, 0, 0, 0, 0, 0, 0, 0], [3, 2, 0, 0, 0, 0, 0, 0], [1, 4, 0, 0, 0, 0, 0, 0]],
    dtype=jnp.int32,
)
CONSTANT_42 = jnp.array(
    [[1, 1, 0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0, 0]],
    dtype=jnp.bool_,
)
CONSTANT_44 = jnp.array(
    [[1, 0, 0, 0, 0, 0, 0, 0], [3, 0, 0, 2, 0, 0, 0, 0], [1, 0, 0, 4, 0, 0, 0, 0]],
    dtype=jnp.int32,
)
CONSTANT_45 = jnp.array(
    [[1, 0, 0, 1, 0, 0, 0, 0], [1, 0, 0, 1, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0, 0]],
    dtype=jnp.bool_,
)
CONSTANT_47 = jnp.array(
    [[0, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]], dtype=jnp.int32
)
CONSTANT_48 = jnp.array(
    [[1, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]], dtype=jnp.bool_
)


@jax.jit
def forward(parameters, data):
    """parameters: f64[8], data: f64[9] -> logpdf: f64[], grad.parameters: f64[8]"""
    rows = parameters[jnp.zeros((1, 5), dtype=jnp.int32)]
    mask = rows > 1.0
    mask1 = rows < -1.0
    t = rows * rows
    t1 = t * 3.0 + -10.0
    t2 = t * t1 + 15.0
    t3 = rows * 8.0
    t4 = jnp.where(mask, t3, jnp.where(mask1, -t3, t * t2))[:, None] * CONSTANT_2
    t5 = (rows[:, None] * CONSTANT_1 + t4).sum(axis=0) + CONSTANT_0
    rows1 = parameters[CONSTANT_4]
    t6 = jnp.where(rows1 > 0.0, CONSTANT_6, CONSTANT_5)
    abs1 = jnp.abs(rows1)
    mask2 = abs1 < 1.0
    t7 = jnp.where(mask2, rows1, 0.0)
    t8 = t7 * CONSTANT_7 + CONSTANT_8
    t9 = t7 * t8 + CONSTANT_9
    t10 = t7 * t9 + CONSTANT_10
    t11 = t7 * t10 + CONSTANT_11
    t12 = t7 * t11 + CONSTANT_12
    t13 = t7 * t12 + 1.0
    total = (t6 * jnp.where(mask2, 0.0, abs1) + jnp.log(t13)).sum(axis=0)
    exp = jnp.exp(total)
    t14 = jnp.where(CONSTANT_15, parameters[CONSTANT_14], 1.0)
    t15 = jnp.where(CONSTANT_18, parameters[CONSTANT_17], 1.0)
    t16 = t14 * t15
    v = exp * t16
    t17 = t5 * v
    t18 = jnp.where(CONSTANT_21, parameters[CONSTANT_20], 1.0)
    t19 = jnp.where(
        CONSTANT_24, (t17 * t18.reshape((2, 5))).reshape((10,))[CONSTANT_23], 0.0
    )
    total1 = t19.sum(axis=0)
    v1 = data[:4]
    mask3 = v1 == 0.0
    t20 = jnp.where(mask3, 1.0, total1)
    mask4 = total1 < 0.0
    t21 = v1 * jnp.log(t20) + jnp.where(mask4, jnp.nan, -total1) - lax.lgamma(v1 + 1.0)
    t22 = data[CONSTANT_26] - parameters
    t23 = (t22 * t22 * CONSTANT_27).sum(axis=0) * -0.5 - -5.41936241037844
    logpdf = t21.sum(axis=0) + t23
    t24 = t22 * (CONSTANT_27 * -0.5)
    t25 = jnp.where(mask3, 0.0, v1 / t20) - jnp.where(mask4, jnp.float64(0.0), 1.0)
    t26 = jnp.where(
        CONSTANT_30, jnp.where(CONSTANT_24, t25, 0.0).reshape((12,))[CONSTANT_29], 0.0
    )
    total2 = t26.sum(axis=0)
    v2 = (t18 * total2).reshape((2, 5))
    t27 = jnp.where(CONSTANT_21, (t17 * total2.reshape((2, 5))).reshape((10,)), 0.0)
    t28 = jnp.where(CONSTANT_33, t27[CONSTANT_32], 0.0).sum(axis=0) - (t24 + t24)
    total3 = (t5 * v2).sum(axis=0)
    t29 = exp * total3
    t30 = jnp.where(
        CONSTANT_36, jnp.where(CONSTANT_18, t14 * t29, 0.0)[CONSTANT_35], 0.0
    )
    total4 = jnp.where(CONSTANT_39, t30.sum(axis=0)[CONSTANT_38], 0.0).sum(axis=0)
    t31 = jnp.where(
        CONSTANT_42, jnp.where(CONSTANT_15, t15 * t29, 0.0)[CONSTANT_41], 0.0
    )
    v3 = exp * (t16 * total3)
    t32 = v3 / t13
    t33 = t7 * t32
    t34 = t7 * t33
    t35 = t7 * t34
    t36 = t7 * t35
    t37 = (
        t12 * t32 + t11 * t33 + t10 * t34 + t9 * t35 + t8 * t36 + t7 * t36 * CONSTANT_7
    )
    t38 = jnp.where(mask2, t37, 0.0) + jnp.where(mask2, 0.0, t6 * v3) * jnp.sign(rows1)
    total5 = jnp.where(CONSTANT_45, t38.reshape((5,))[CONSTANT_44], 0.0).sum(axis=0)
    v4 = v * v2
    total6 = (v4 * CONSTANT_2).sum(axis=1)
    t39 = jnp.where(mask, 0.0, total6)
    t40 = jnp.where(mask1, 0.0, t39)
    t41 = (jnp.where(mask, total6, 0.0) - jnp.where(mask1, t39, 0.0)) * 8.0
    t42 = t * t40
    t43 = rows * (t2 * t40 + t1 * t42 + t * t42 * 3.0)
    v5 = (t43 + ((v4 * CONSTANT_1).sum(axis=1) + t41 + t43)).reshape((5,))
    rows2 = jnp.where(CONSTANT_36, v5[CONSTANT_35], 0.0).sum(axis=0)[CONSTANT_47]
    grad_parameters = (
        t28
        + total4
        + t31.sum(axis=0)
        + total5
        + jnp.where(CONSTANT_48, rows2, 0.0).sum(axis=0)
    )
    return {"logpdf": logpdf, "grad.parameters": grad_parameters}

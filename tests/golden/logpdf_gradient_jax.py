"""A model for JAX, written by wootz: forward(parameters, data).

Parameters and results are dicts of arrays by name.

It computes in float64: enable that before this is imported,
`jax.config.update("jax_enable_x64", True)`.
"""

import jax
import jax.numpy as jnp
from jax import lax

NORMSYS_INDEX = jnp.array([[3, 0, 3, 0, 3]], dtype=jnp.int32)
NORMSYS = jnp.array(
    [[0.02955880224154443, 0.0, 0.01980262729617973, 0.0, 0.058268908123975824]],
    dtype=jnp.float64,
)
NORMSYS1 = jnp.array(
    [[-0.020202707317519466, 0.0, -0.030459207484708574, 0.0, -0.05129329438755058]],
    dtype=jnp.float64,
)
NORMSYS2 = jnp.array(
    [[0.0017540846988027005, 0.0, -0.0019978953474945912, 0.0, 0.001307273051478932]],
    dtype=jnp.float64,
)
NORMSYS3 = jnp.array(
    [[-1.4544397595265076e-5, 0.0, 1.673270006235007e-5, 0.0, -2.384294951472381e-5]],
    dtype=jnp.float64,
)
NORMSYS4 = jnp.array(
    [[-0.005846441113199982, 0.0, 0.0066591028404731885, 0.0, -0.004355442867147536]],
    dtype=jnp.float64,
)
NORMSYS5 = jnp.array(
    [[9.014366518047618e-5, 0.0, -9.743762455705026e-5, 0.0, 0.0001711039689262722]],
    dtype=jnp.float64,
)
NORMSYS6 = jnp.array(
    [[0.009092356414397287, 0.0, -0.009661207492978602, 0.0, 0.008048169815668608]],
    dtype=jnp.float64,
)
NORMSYS7 = jnp.array(
    [[0.02492440073241481, 0.0, 0.02508070492449472, 0.0, 0.05485273898058849]],
    dtype=jnp.float64,
)
HISTOSYS = jnp.array(
    [[[0.0, 0.0, 2.75, 0.75, 0.0], [0.0, 0.0, -1.25, -0.25, 0.0]]], dtype=jnp.float64
)
HISTOSYS1 = jnp.array(
    [
        [
            [0.0, 0.0, 0.03125, -0.03125, 0.0],
            [0.0, 0.0, -0.03125, 0.018750000000000044, 0.0],
        ],
    ],
    dtype=jnp.float64,
)
HISTOSYS2 = jnp.array(
    [[200.0, 60.0, 50.0, 12.0, 5.0], [180.0, 70.0, 40.0, 9.0, 8.0]], dtype=jnp.float64
)
SAMPLE_FACTORS_INDEX = jnp.array([1, 0, 1, 0, 1], dtype=jnp.int32)
SAMPLE_FACTORS_MASK = jnp.array([1, 0, 1, 0, 1], dtype=jnp.bool_)
SAMPLE_FACTORS_INDEX1 = jnp.array([0, 0, 0, 0, 2], dtype=jnp.int32)
SAMPLE_FACTORS_MASK1 = jnp.array([0, 0, 0, 0, 1], dtype=jnp.bool_)
BIN_FACTORS_INDEX = jnp.array([0, 4, 6, 6, 0, 0, 5, 7, 7, 0], dtype=jnp.int32)
BIN_FACTORS_MASK = jnp.array([0, 1, 1, 1, 0, 0, 1, 1, 1, 0], dtype=jnp.bool_)
RATES_INDEX = jnp.array([0, 0, 2, 2, 2, 1, 1, 3, 3, 3], dtype=jnp.int32)
NORMAL_CONSTRAINTS_INDEX = jnp.array([4, 5, 4, 6, 4, 4, 7, 8], dtype=jnp.int32)
NORMAL_CONSTRAINTS = jnp.array(
    [1.0, 2500.0, 0.0, 1.0, 0.0, 0.0, 452.2352941176471, 441.36029411764713],
    dtype=jnp.float64,
)
NORMAL_CONSTRAINTS1 = jnp.array(
    [-0.5, -1250.0, -0.0, -0.5, -0.0, -0.0, -226.11764705882354, -220.68014705882356],
    dtype=jnp.float64,
)
RATES_MASK = jnp.array([[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 1, 1]], dtype=jnp.bool_)
RATES_INDEX1 = jnp.array([0, 5, 2, 7, 1, 6, 3, 8, 0, 5, 4, 9], dtype=jnp.int32)
HISTOSYS_INDEX = jnp.array([0, 0, 0, 0, 0], dtype=jnp.int32)
NORMSYS_INDEX1 = jnp.array([3, 0, 3, 0, 3], dtype=jnp.int32)


@jax.jit
def forward(parameters, data):
    """parameters: f64[8], data: f64[9] -> logpdf: f64[], grad.parameters: f64[8]"""
    # normsys
    rows = parameters[NORMSYS_INDEX]
    # histosys
    rows1 = parameters[jnp.zeros((1, 5), dtype=jnp.int32)]
    # normsys
    t = jnp.where(rows > 0.0, NORMSYS, NORMSYS1)
    abs1 = jnp.abs(rows)
    mask = abs1 < 1.0
    t1 = jnp.where(mask, rows, 0.0)
    t2 = t1 * NORMSYS2 + NORMSYS3
    t3 = t1 * t2 + NORMSYS4
    t4 = t1 * t3 + NORMSYS5
    t5 = t1 * t4 + NORMSYS6
    t6 = t1 * t5 + NORMSYS7
    t7 = t1 * t6 + 1.0
    # histosys
    mask1 = rows1 > 1.0
    mask2 = rows1 < -1.0
    t8 = rows1 * rows1
    t9 = t8 * 3.0 - 10.0
    t10 = t8 * t9 + 15.0
    t11 = rows1 * 8.0
    v = jnp.where(mask1, t11, jnp.where(mask2, -t11, t8 * t10))[:, None]
    t12 = (rows1[:, None] * HISTOSYS + v * HISTOSYS1).sum(axis=0) + HISTOSYS2
    # normsys
    exp = jnp.exp((t * jnp.where(mask, 0.0, abs1) + jnp.log(t7)).sum(axis=0))
    # sample factors
    t13 = jnp.where(SAMPLE_FACTORS_MASK, parameters[SAMPLE_FACTORS_INDEX], 1.0)
    t14 = jnp.where(SAMPLE_FACTORS_MASK1, parameters[SAMPLE_FACTORS_INDEX1], 1.0)
    t15 = t13 * t14
    v1 = exp * t15
    t16 = t12 * v1
    # bin factors
    t17 = jnp.where(BIN_FACTORS_MASK, parameters[BIN_FACTORS_INDEX], 1.0)
    t18 = t16 * t17.reshape((2, 5))
    # rates
    zeros = jnp.zeros((4,), dtype=jnp.float64)
    scatter_add1 = zeros.at[RATES_INDEX].add(t18.reshape((10,)))
    # main
    v2 = data[:4]
    mask3 = v2 == 0.0
    t19 = jnp.where(mask3, 1.0, scatter_add1)
    mask4 = scatter_add1 < 0.0
    t20 = (
        v2 * jnp.log(t19)
        + jnp.where(mask4, jnp.nan, -scatter_add1)
        - lax.lgamma(v2 + 1.0)
    )
    total = t20.sum(axis=0)
    # normal constraints
    t21 = data[NORMAL_CONSTRAINTS_INDEX] - parameters
    t22 = (t21 * t21 * NORMAL_CONSTRAINTS).sum(axis=0) * -0.5 + 5.41936241037844
    logpdf = total + t22
    t23 = t21 * NORMAL_CONSTRAINTS1
    t24 = t23 + t23
    # main
    t25 = jnp.where(mask3, 0.0, v2 / t19) - jnp.where(mask4, jnp.float64(0.0), 1.0)
    # rates
    zeros1 = jnp.zeros((10,), dtype=jnp.float64)
    scatter_add2 = zeros1.at[RATES_INDEX1].add(
        jnp.where(RATES_MASK, t25, 0.0).reshape((12,))
    )
    # bin factors
    v3 = (t17 * scatter_add2).reshape((2, 5))
    t26 = jnp.where(
        BIN_FACTORS_MASK, (t16 * scatter_add2.reshape((2, 5))).reshape((10,)), 0.0
    )
    zeros2 = jnp.zeros((8,), dtype=jnp.float64)
    t27 = zeros2.at[BIN_FACTORS_INDEX].add(t26) - t24
    # sample factors
    t28 = v1 * v3
    total1 = (t12 * v3).sum(axis=0)
    t29 = t15 * total1
    t30 = exp * total1
    scatter_add3 = zeros2.at[SAMPLE_FACTORS_INDEX1].add(
        jnp.where(SAMPLE_FACTORS_MASK1, t13 * t30, 0.0)
    )
    scatter_add4 = zeros2.at[SAMPLE_FACTORS_INDEX].add(
        jnp.where(SAMPLE_FACTORS_MASK, t14 * t30, 0.0)
    )
    t31 = t27 + scatter_add3 + scatter_add4
    # normsys
    v4 = exp * t29
    # histosys
    total2 = (t28 * HISTOSYS1).sum(axis=1)
    t32 = jnp.where(mask1, 0.0, total2)
    t33 = jnp.where(mask2, 0.0, t32)
    t34 = (jnp.where(mask1, total2, 0.0) - jnp.where(mask2, t32, 0.0)) * 8.0
    t35 = t8 * t33
    t36 = rows1 * (t10 * t33 + t9 * t35 + t8 * t35 * 3.0)
    # normsys
    t37 = v4 / t7
    t38 = t1 * t37
    t39 = t1 * t38
    t40 = t1 * t39
    t41 = t1 * t40
    t42 = t6 * t37 + t5 * t38 + t4 * t39 + t3 * t40 + t2 * t41 + t1 * t41 * NORMSYS2
    t43 = jnp.where(mask, t42, 0.0) + jnp.where(mask, 0.0, t * v4) * jnp.sign(rows)
    # histosys
    v5 = (t36 + ((t28 * HISTOSYS).sum(axis=1) + t34 + t36)).reshape((5,))
    t44 = t31 + zeros2.at[HISTOSYS_INDEX].add(v5)
    # normsys
    grad_parameters = t44 + zeros2.at[NORMSYS_INDEX1].add(t43.reshape((5,)))
    return {"logpdf": logpdf, "grad.parameters": grad_parameters}

"""A model for NumPy, written by wootz: forward(parameters, data).

Parameters and results are dicts of arrays by name.
"""

import math

import numpy as np

NORMSYS_INDEX = np.array([[3, 0, 3, 0, 3]], dtype=np.int32)
NORMSYS = np.array(
    [[0.02955880224154443, 0.0, 0.01980262729617973, 0.0, 0.058268908123975824]],
    dtype=np.float64,
)
NORMSYS1 = np.array(
    [[-0.020202707317519466, 0.0, -0.030459207484708574, 0.0, -0.05129329438755058]],
    dtype=np.float64,
)
NORMSYS2 = np.array(
    [[0.0017540846988027005, 0.0, -0.0019978953474945912, 0.0, 0.001307273051478932]],
    dtype=np.float64,
)
NORMSYS3 = np.array(
    [[-1.4544397595265076e-5, 0.0, 1.673270006235007e-5, 0.0, -2.384294951472381e-5]],
    dtype=np.float64,
)
NORMSYS4 = np.array(
    [[-0.005846441113199982, 0.0, 0.0066591028404731885, 0.0, -0.004355442867147536]],
    dtype=np.float64,
)
NORMSYS5 = np.array(
    [[9.014366518047618e-5, 0.0, -9.743762455705026e-5, 0.0, 0.0001711039689262722]],
    dtype=np.float64,
)
NORMSYS6 = np.array(
    [[0.009092356414397287, 0.0, -0.009661207492978602, 0.0, 0.008048169815668608]],
    dtype=np.float64,
)
NORMSYS7 = np.array(
    [[0.02492440073241481, 0.0, 0.02508070492449472, 0.0, 0.05485273898058849]],
    dtype=np.float64,
)
HISTOSYS = np.array(
    [[[0.0, 0.0, 2.75, 0.75, 0.0], [0.0, 0.0, -1.25, -0.25, 0.0]]], dtype=np.float64
)
HISTOSYS1 = np.array(
    [
        [
            [0.0, 0.0, 0.03125, -0.03125, 0.0],
            [0.0, 0.0, -0.03125, 0.018750000000000044, 0.0],
        ],
    ],
    dtype=np.float64,
)
HISTOSYS2 = np.array(
    [[200.0, 60.0, 50.0, 12.0, 5.0], [180.0, 70.0, 40.0, 9.0, 8.0]], dtype=np.float64
)
SAMPLE_FACTORS_INDEX = np.array([1, 0, 1, 0, 1], dtype=np.int32)
SAMPLE_FACTORS_MASK = np.array([1, 0, 1, 0, 1], dtype=np.bool)
SAMPLE_FACTORS_INDEX1 = np.array([0, 0, 0, 0, 2], dtype=np.int32)
SAMPLE_FACTORS_MASK1 = np.array([0, 0, 0, 0, 1], dtype=np.bool)
BIN_FACTORS_INDEX = np.array([0, 4, 6, 6, 0, 0, 5, 7, 7, 0], dtype=np.int32)
BIN_FACTORS_MASK = np.array([0, 1, 1, 1, 0, 0, 1, 1, 1, 0], dtype=np.bool)
RATES_INDEX = np.array([[0, 5, 2, 7], [1, 6, 3, 8], [0, 5, 4, 9]], dtype=np.int32)
RATES_MASK = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 1, 1]], dtype=np.bool)
NORMAL_CONSTRAINTS_INDEX = np.array([4, 5, 4, 6, 4, 4, 7, 8], dtype=np.int32)
NORMAL_CONSTRAINTS = np.array(
    [1.0, 2500.0, 0.0, 1.0, 0.0, 0.0, 452.2352941176471, 441.36029411764713],
    dtype=np.float64,
)
NORMAL_CONSTRAINTS1 = np.array(
    [-0.5, -1250.0, -0.0, -0.5, -0.0, -0.0, -226.11764705882354, -220.68014705882356],
    dtype=np.float64,
)
RATES_INDEX1 = np.array(
    [[0, 4, 2, 6, 10, 1, 5, 3, 7, 11], [8, 4, 2, 6, 10, 9, 5, 3, 7, 11]], dtype=np.int32
)
RATES_MASK1 = np.array(
    [[1, 1, 1, 1, 1, 1, 1, 1, 1, 1], [1, 0, 0, 0, 0, 1, 0, 0, 0, 0]], dtype=np.bool
)
BIN_FACTORS_INDEX1 = np.array(
    [
        [0, 0, 0, 0, 1, 6, 2, 7],
        [4, 0, 0, 0, 1, 6, 3, 8],
        [5, 0, 0, 0, 1, 6, 2, 7],
        [9, 0, 0, 0, 1, 6, 3, 8],
    ],
    dtype=np.int32,
)
BIN_FACTORS_MASK1 = np.array(
    [
        [1, 0, 0, 0, 1, 1, 1, 1],
        [1, 0, 0, 0, 0, 0, 1, 1],
        [1, 0, 0, 0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0, 0, 0],
    ],
    dtype=np.bool,
)
SAMPLE_FACTORS_INDEX2 = np.array([[0, 4], [1, 4], [2, 4], [3, 4]], dtype=np.int32)
SAMPLE_FACTORS_MASK2 = np.array([[1, 1], [1, 0], [1, 0], [1, 0]], dtype=np.bool)
SAMPLE_FACTORS_INDEX3 = np.array([[0, 0, 1, 0, 0, 0, 0, 0]], dtype=np.int32)
SAMPLE_FACTORS_MASK3 = np.array([[1, 0, 1, 0, 0, 0, 0, 0]], dtype=np.bool)
SAMPLE_FACTORS_INDEX4 = np.array(
    [[1, 0, 0, 0, 0, 0, 0, 0], [3, 2, 0, 0, 0, 0, 0, 0], [1, 4, 0, 0, 0, 0, 0, 0]],
    dtype=np.int32,
)
SAMPLE_FACTORS_MASK4 = np.array(
    [[1, 1, 0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0, 0]],
    dtype=np.bool,
)
HISTOSYS_INDEX = np.array(
    [[0, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]], dtype=np.int32
)
HISTOSYS_MASK = np.array(
    [[1, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]], dtype=np.bool
)
NORMSYS_INDEX1 = np.array(
    [[1, 0, 0, 0, 0, 0, 0, 0], [3, 0, 0, 2, 0, 0, 0, 0], [1, 0, 0, 4, 0, 0, 0, 0]],
    dtype=np.int32,
)
NORMSYS_MASK = np.array(
    [[1, 0, 0, 1, 0, 0, 0, 0], [1, 0, 0, 1, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0, 0]],
    dtype=np.bool,
)


def lgamma(x):
    """ln |Γ(x)|, infinite at 0, -1, -2, …"""

    def one(x):
        try:
            return math.lgamma(x)
        except (ValueError, OverflowError):
            return math.inf

    return np.vectorize(one, otypes=[np.float64])(x).astype(x.dtype)


def forward(parameters, data):
    """parameters: f64[8], data: f64[9] -> logpdf: f64[], grad.parameters: f64[8]"""
    # normsys
    rows = parameters[NORMSYS_INDEX]
    # histosys
    rows1 = parameters[np.zeros((1, 5), dtype=np.int32)]
    # normsys
    t = np.where(rows > 0.0, NORMSYS, NORMSYS1)
    abs1 = np.abs(rows)
    mask = abs1 < 1.0
    t1 = np.where(mask, rows, 0.0)
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
    v = np.where(mask1, t11, np.where(mask2, -t11, t8 * t10))[:, None]
    t12 = (rows1[:, None] * HISTOSYS + v * HISTOSYS1).sum(axis=0) + HISTOSYS2
    # normsys
    exp = np.exp((t * np.where(mask, 0.0, abs1) + np.log(t7)).sum(axis=0))
    # sample factors
    t13 = np.where(SAMPLE_FACTORS_MASK, parameters[SAMPLE_FACTORS_INDEX], 1.0)
    t14 = np.where(SAMPLE_FACTORS_MASK1, parameters[SAMPLE_FACTORS_INDEX1], 1.0)
    t15 = t13 * t14
    v1 = exp * t15
    t16 = t12 * v1
    # bin factors
    t17 = np.where(BIN_FACTORS_MASK, parameters[BIN_FACTORS_INDEX], 1.0)
    t18 = t16 * t17.reshape((2, 5))
    # rates
    total = np.where(RATES_MASK, t18.reshape((10,))[RATES_INDEX], 0.0).sum(axis=0)
    # main
    v2 = data[:4]
    mask3 = v2 == 0.0
    t19 = np.where(mask3, 1.0, total)
    mask4 = total < 0.0
    t20 = v2 * np.log(t19) + np.where(mask4, np.nan, -total) - lgamma(v2 + 1.0)
    total1 = t20.sum(axis=0)
    # normal constraints
    t21 = data[NORMAL_CONSTRAINTS_INDEX] - parameters
    t22 = (t21 * t21 * NORMAL_CONSTRAINTS).sum(axis=0) * -0.5 + 5.41936241037844
    logpdf = total1 + t22
    t23 = t21 * NORMAL_CONSTRAINTS1
    t24 = t23 + t23
    # main
    t25 = np.where(mask3, 0.0, v2 / t19) - np.where(mask4, np.float64(0.0), 1.0)
    # rates
    t26 = np.where(
        RATES_MASK1, np.where(RATES_MASK, t25, 0.0).reshape((12,))[RATES_INDEX1], 0.0
    )
    total2 = t26.sum(axis=0)
    # bin factors
    v3 = (t17 * total2).reshape((2, 5))
    t27 = np.where(BIN_FACTORS_MASK, (t16 * total2.reshape((2, 5))).reshape((10,)), 0.0)
    total3 = np.where(BIN_FACTORS_MASK1, t27[BIN_FACTORS_INDEX1], 0.0).sum(axis=0)
    t28 = total3 - t24
    # sample factors
    t29 = v1 * v3
    total4 = (t12 * v3).sum(axis=0)
    t30 = t15 * total4
    t31 = exp * total4
    rows2 = np.where(SAMPLE_FACTORS_MASK1, t13 * t31, 0.0)[SAMPLE_FACTORS_INDEX2]
    rows3 = np.where(SAMPLE_FACTORS_MASK2, rows2, 0.0).sum(axis=0)[
        SAMPLE_FACTORS_INDEX3
    ]
    rows4 = np.where(SAMPLE_FACTORS_MASK, t14 * t31, 0.0)[SAMPLE_FACTORS_INDEX4]
    t32 = (
        t28
        + np.where(SAMPLE_FACTORS_MASK3, rows3, 0.0).sum(axis=0)
        + np.where(SAMPLE_FACTORS_MASK4, rows4, 0.0).sum(axis=0)
    )
    # normsys
    v4 = exp * t30
    # histosys
    total5 = (t29 * HISTOSYS1).sum(axis=1)
    t33 = np.where(mask1, 0.0, total5)
    t34 = np.where(mask2, 0.0, t33)
    t35 = (np.where(mask1, total5, 0.0) - np.where(mask2, t33, 0.0)) * 8.0
    t36 = t8 * t34
    t37 = rows1 * (t10 * t34 + t9 * t36 + t8 * t36 * 3.0)
    # normsys
    t38 = v4 / t7
    t39 = t1 * t38
    t40 = t1 * t39
    t41 = t1 * t40
    t42 = t1 * t41
    t43 = t6 * t38 + t5 * t39 + t4 * t40 + t3 * t41 + t2 * t42 + t1 * t42 * NORMSYS2
    t44 = np.where(mask, t43, 0.0) + np.where(mask, 0.0, t * v4) * np.sign(rows)
    # histosys
    v5 = (t37 + ((t29 * HISTOSYS).sum(axis=1) + t35 + t37)).reshape((5,))
    t45 = np.where(SAMPLE_FACTORS_MASK2, v5[SAMPLE_FACTORS_INDEX2], 0.0)
    t46 = np.where(HISTOSYS_MASK, t45.sum(axis=0)[HISTOSYS_INDEX], 0.0)
    t47 = t32 + t46.sum(axis=0)
    # normsys
    t48 = np.where(NORMSYS_MASK, t44.reshape((5,))[NORMSYS_INDEX1], 0.0)
    grad_parameters = t47 + t48.sum(axis=0)
    return {"logpdf": logpdf, "grad.parameters": grad_parameters}

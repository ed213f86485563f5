"""A model for NumPy, written by wootz: forward(parameters, data).

Parameters and results are dicts of arrays by name.
"""

import math

import numpy as np

CONSTANT_1 = np.array([[3, 0, 3, 0, 3]], dtype=np.int32)
CONSTANT_2 = np.array(
    [[-0.020202707317519466, 0.0, -0.030459207484708574, 0.0, -0.05129329438755058]],
    dtype=np.float64,
)
CONSTANT_3 = np.array(
    [[0.02955880224154443, 0.0, 0.01980262729617973, 0.0, 0.058268908123975824]],
    dtype=np.float64,
)
CONSTANT_4 = np.array(
    [[0.0017540846988027005, 0.0, -0.0019978953474945912, 0.0, 0.001307273051478932]],
    dtype=np.float64,
)
CONSTANT_5 = np.array(
    [[-1.4544397595265076e-5, 0.0, 1.673270006235007e-5, 0.0, -2.384294951472381e-5]],
    dtype=np.float64,
)
CONSTANT_6 = np.array(
    [[-0.005846441113199982, 0.0, 0.0066591028404731885, 0.0, -0.004355442867147536]],
    dtype=np.float64,
)
CONSTANT_7 = np.array(
    [[9.014366518047618e-5, 0.0, -9.743762455705026e-5, 0.0, 0.0001711039689262722]],
    dtype=np.float64,
)
CONSTANT_8 = np.array(
    [[0.009092356414397287, 0.0, -0.009661207492978602, 0.0, 0.008048169815668608]],
    dtype=np.float64,
)
CONSTANT_9 = np.array(
    [[0.02492440073241481, 0.0, 0.02508070492449472, 0.0, 0.05485273898058849]],
    dtype=np.float64,
)
CONSTANT_10 = np.array(
    [[200.0, 60.0, 50.0, 12.0, 5.0], [180.0, 70.0, 40.0, 9.0, 8.0]], dtype=np.float64
)
CONSTANT_11 = np.array(
    [[[0.0, 0.0, 2.75, 0.75, 0.0], [0.0, 0.0, -1.25, -0.25, 0.0]]], dtype=np.float64
)
CONSTANT_12 = np.array(
    [
        [
            [0.0, 0.0, 0.03125, -0.03125, 0.0],
            [0.0, 0.0, -0.03125, 0.018750000000000044, 0.0],
        ],
    ],
    dtype=np.float64,
)
CONSTANT_14 = np.array([1, 0, 1, 0, 1], dtype=np.int32)
CONSTANT_15 = np.array([1, 0, 1, 0, 1], dtype=np.bool)
CONSTANT_17 = np.array([0, 0, 0, 0, 2], dtype=np.int32)
CONSTANT_18 = np.array([0, 0, 0, 0, 1], dtype=np.bool)
CONSTANT_20 = np.array([0, 4, 6, 6, 0, 0, 5, 7, 7, 0], dtype=np.int32)
CONSTANT_21 = np.array([0, 1, 1, 1, 0, 0, 1, 1, 1, 0], dtype=np.bool)
CONSTANT_23 = np.array([[0, 5, 2, 7], [1, 6, 3, 8], [0, 5, 4, 9]], dtype=np.int32)
CONSTANT_24 = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 1, 1]], dtype=np.bool)
CONSTANT_26 = np.array([4, 5, 4, 6, 4, 4, 7, 8], dtype=np.int32)
CONSTANT_27 = np.array(
    [1.0, 2500.0, 0.0, 1.0, 0.0, 0.0, 452.2352941176471, 441.36029411764713],
    dtype=np.float64,
)
CONSTANT_28 = np.array(
    [-0.5, -1250.0, -0.0, -0.5, -0.0, -0.0, -226.11764705882354, -220.68014705882356],
    dtype=np.float64,
)
CONSTANT_30 = np.array(
    [[0, 4, 2, 6, 10, 1, 5, 3, 7, 11], [8, 4, 2, 6, 10, 9, 5, 3, 7, 11]], dtype=np.int32
)
CONSTANT_31 = np.array(
    [[1, 1, 1, 1, 1, 1, 1, 1, 1, 1], [1, 0, 0, 0, 0, 1, 0, 0, 0, 0]], dtype=np.bool
)
CONSTANT_33 = np.array(
    [
        [0, 0, 0, 0, 1, 6, 2, 7],
        [4, 0, 0, 0, 1, 6, 3, 8],
        [5, 0, 0, 0, 1, 6, 2, 7],
        [9, 0, 0, 0, 1, 6, 3, 8],
    ],
    dtype=np.int32,
)
CONSTANT_34 = np.array(
    [
        [1, 0, 0, 0, 1, 1, 1, 1],
        [1, 0, 0, 0, 0, 0, 1, 1],
        [1, 0, 0, 0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0, 0, 0],
    ],
    dtype=np.bool,
)
CONSTANT_36 = np.array([[0, 4], [1, 4], [2, 4], [3, 4]], dtype=np.int32)
CONSTANT_37 = np.array([[1, 1], [1, 0], [1, 0], [1, 0]], dtype=np.bool)
CONSTANT_39 = np.array([[0, 0, 1, 0, 0, 0, 0, 0]], dtype=np.int32)
CONSTANT_40 = np.array([[1, 0, 1, 0, 0, 0, 0, 0]], dtype=np.bool)
CONSTANT_42 = np.array(
    [[1, 0, 0, 0, 0, 0, 0, 0], [3, 2, 0, 0, 0, 0, 0, 0], [1, 4, 0, 0, 0, 0, 0, 0]],
    dtype=np.int32,
)
CONSTANT_43 = np.array(
    [[1, 1, 0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0, 0]],
    dtype=np.bool,
)
CONSTANT_45 = np.array(
    [[0, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]], dtype=np.int32
)
CONSTANT_46 = np.array(
    [[1, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]], dtype=np.bool
)
CONSTANT_48 = np.array(
    [[1, 0, 0, 0, 0, 0, 0, 0], [3, 0, 0, 2, 0, 0, 0, 0], [1, 0, 0, 4, 0, 0, 0, 0]],
    dtype=np.int32,
)
CONSTANT_49 = np.array(
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
    rows = parameters[CONSTANT_1]
    rows1 = parameters[np.zeros((1, 5), dtype=np.int32)]
    t = np.where(rows > 0.0, CONSTANT_3, CONSTANT_2)
    abs1 = np.abs(rows)
    mask = abs1 < 1.0
    t1 = np.where(mask, rows, 0.0)
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
    v = np.where(mask1, t11, np.where(mask2, -t11, t8 * t10))[:, None]
    t12 = (rows1[:, None] * CONSTANT_11 + v * CONSTANT_12).sum(axis=0) + CONSTANT_10
    exp = np.exp((t * np.where(mask, 0.0, abs1) + np.log(t7)).sum(axis=0))
    t13 = np.where(CONSTANT_15, parameters[CONSTANT_14], 1.0)
    t14 = np.where(CONSTANT_18, parameters[CONSTANT_17], 1.0)
    t15 = t13 * t14
    v1 = exp * t15
    t16 = t12 * v1
    t17 = np.where(CONSTANT_21, parameters[CONSTANT_20], 1.0)
    t18 = np.where(
        CONSTANT_24, (t16 * t17.reshape((2, 5))).reshape((10,))[CONSTANT_23], 0.0
    )
    total = t18.sum(axis=0)
    v2 = data[:4]
    mask3 = v2 == 0.0
    t19 = np.where(mask3, 1.0, total)
    mask4 = total < 0.0
    t20 = v2 * np.log(t19) + np.where(mask4, np.nan, -total) - lgamma(v2 + 1.0)
    t21 = data[CONSTANT_26] - parameters
    t22 = (t21 * t21 * CONSTANT_27).sum(axis=0) * -0.5 - -5.41936241037844
    logpdf = t20.sum(axis=0) + t22
    t23 = t21 * CONSTANT_28
    t24 = np.where(mask3, 0.0, v2 / t19) - np.where(mask4, np.float64(0.0), 1.0)
    t25 = np.where(
        CONSTANT_31, np.where(CONSTANT_24, t24, 0.0).reshape((12,))[CONSTANT_30], 0.0
    )
    total1 = t25.sum(axis=0)
    v3 = (t17 * total1).reshape((2, 5))
    t26 = np.where(CONSTANT_21, (t16 * total1.reshape((2, 5))).reshape((10,)), 0.0)
    t27 = np.where(CONSTANT_34, t26[CONSTANT_33], 0.0).sum(axis=0) - (t23 + t23)
    total2 = (t12 * v3).sum(axis=0)
    t28 = exp * total2
    t29 = np.where(CONSTANT_37, np.where(CONSTANT_18, t13 * t28, 0.0)[CONSTANT_36], 0.0)
    total3 = np.where(CONSTANT_40, t29.sum(axis=0)[CONSTANT_39], 0.0).sum(axis=0)
    t30 = np.where(CONSTANT_43, np.where(CONSTANT_15, t14 * t28, 0.0)[CONSTANT_42], 0.0)
    v4 = exp * (t15 * total2)
    v5 = v1 * v3
    total4 = (v5 * CONSTANT_12).sum(axis=1)
    t31 = np.where(mask1, 0.0, total4)
    t32 = np.where(mask2, 0.0, t31)
    t33 = (np.where(mask1, total4, 0.0) - np.where(mask2, t31, 0.0)) * 8.0
    t34 = t8 * t32
    t35 = rows1 * (t10 * t32 + t9 * t34 + t8 * t34 * 3.0)
    t36 = v4 / t7
    t37 = t1 * t36
    t38 = t1 * t37
    t39 = t1 * t38
    t40 = t1 * t39
    t41 = t6 * t36 + t5 * t37 + t4 * t38 + t3 * t39 + t2 * t40 + t1 * t40 * CONSTANT_4
    t42 = np.where(mask, t41, 0.0) + np.where(mask, 0.0, t * v4) * np.sign(rows)
    v6 = (t35 + ((v5 * CONSTANT_11).sum(axis=1) + t33 + t35)).reshape((5,))
    rows2 = np.where(CONSTANT_37, v6[CONSTANT_36], 0.0).sum(axis=0)[CONSTANT_45]
    t43 = t27 + total3 + t30.sum(axis=0) + np.where(CONSTANT_46, rows2, 0.0).sum(axis=0)
    total5 = np.where(CONSTANT_49, t42.reshape((5,))[CONSTANT_48], 0.0).sum(axis=0)
    grad_parameters = t43 + total5
    return {"logpdf": logpdf, "grad.parameters": grad_parameters}

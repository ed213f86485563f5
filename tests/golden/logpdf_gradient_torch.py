"""A model for PyTorch, written by wootz: forward(parameters, data).

Parameters and results are dicts of arrays by name.
"""

import torch

CONSTANT_1 = torch.tensor([[3, 0, 3, 0, 3]], dtype=torch.int32)
CONSTANT_2 = torch.tensor(
    [[-0.020202707317519466, 0.0, -0.030459207484708574, 0.0, -0.05129329438755058]],
    dtype=torch.float64,
)
CONSTANT_3 = torch.tensor(
    [[0.02955880224154443, 0.0, 0.01980262729617973, 0.0, 0.058268908123975824]],
    dtype=torch.float64,
)
CONSTANT_4 = torch.tensor(
    [[0.0017540846988027005, 0.0, -0.0019978953474945912, 0.0, 0.001307273051478932]],
    dtype=torch.float64,
)
CONSTANT_5 = torch.tensor(
    [[-1.4544397595265076e-5, 0.0, 1.673270006235007e-5, 0.0, -2.384294951472381e-5]],
    dtype=torch.float64,
)
CONSTANT_6 = torch.tensor(
    [[-0.005846441113199982, 0.0, 0.0066591028404731885, 0.0, -0.004355442867147536]],
    dtype=torch.float64,
)
CONSTANT_7 = torch.tensor(
    [[9.014366518047618e-5, 0.0, -9.743762455705026e-5, 0.0, 0.0001711039689262722]],
    dtype=torch.float64,
)
CONSTANT_8 = torch.tensor(
    [[0.009092356414397287, 0.0, -0.009661207492978602, 0.0, 0.008048169815668608]],
    dtype=torch.float64,
)
CONSTANT_9 = torch.tensor(
    [[0.02492440073241481, 0.0, 0.02508070492449472, 0.0, 0.05485273898058849]],
    dtype=torch.float64,
)
CONSTANT_10 = torch.tensor(
    [[200.0, 60.0, 50.0, 12.0, 5.0], [180.0, 70.0, 40.0, 9.0, 8.0]], dtype=torch.float64
)
CONSTANT_11 = torch.tensor(
    [[[0.0, 0.0, 2.75, 0.75, 0.0], [0.0, 0.0, -1.25, -0.25, 0.0]]], dtype=torch.float64
)
CONSTANT_12 = torch.tensor(
    [
        [
            [0.0, 0.0, 0.03125, -0.03125, 0.0],
            [0.0, 0.0, -0.03125, 0.018750000000000044, 0.0],
        ],
    ],
    dtype=torch.float64,
)
CONSTANT_14 = torch.tensor([1, 0, 1, 0, 1], dtype=torch.int32)
CONSTANT_15 = torch.tensor([1, 0, 1, 0, 1], dtype=torch.bool)
CONSTANT_17 = torch.tensor([0, 0, 0, 0, 2], dtype=torch.int32)
CONSTANT_18 = torch.tensor([0, 0, 0, 0, 1], dtype=torch.bool)
CONSTANT_20 = torch.tensor([0, 4, 6, 6, 0, 0, 5, 7, 7, 0], dtype=torch.int32)
CONSTANT_21 = torch.tensor([0, 1, 1, 1, 0, 0, 1, 1, 1, 0], dtype=torch.bool)
CONSTANT_23 = torch.tensor(
    [[0, 5, 2, 7], [1, 6, 3, 8], [0, 5, 4, 9]], dtype=torch.int32
)
CONSTANT_24 = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 1, 1]], dtype=torch.bool)
CONSTANT_26 = torch.tensor([4, 5, 4, 6, 4, 4, 7, 8], dtype=torch.int32)
CONSTANT_27 = torch.tensor(
    [1.0, 2500.0, 0.0, 1.0, 0.0, 0.0, 452.2352941176471, 441.36029411764713],
    dtype=torch.float64,
)
CONSTANT_28 = torch.tensor(
    [-0.5, -1250.0, -0.0, -0.5, -0.0, -0.0, -226.11764705882354, -220.68014705882356],
    dtype=torch.float64,
)
CONSTANT_30 = torch.tensor(
    [[0, 4, 2, 6, 10, 1, 5, 3, 7, 11], [8, 4, 2, 6, 10, 9, 5, 3, 7, 11]],
    dtype=torch.int32,
)
CONSTANT_31 = torch.tensor(
    [[1, 1, 1, 1, 1, 1, 1, 1, 1, 1], [1, 0, 0, 0, 0, 1, 0, 0, 0, 0]], dtype=torch.bool
)
CONSTANT_33 = torch.tensor(
    [
        [0, 0, 0, 0, 1, 6, 2, 7],
        [4, 0, 0, 0, 1, 6, 3, 8],
        [5, 0, 0, 0, 1, 6, 2, 7],
        [9, 0, 0, 0, 1, 6, 3, 8],
    ],
    dtype=torch.int32,
)
CONSTANT_34 = torch.tensor(
    [
        [1, 0, 0, 0, 1, 1, 1, 1],
        [1, 0, 0, 0, 0, 0, 1, 1],
        [1, 0, 0, 0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0, 0, 0],
    ],
    dtype=torch.bool,
)
CONSTANT_36 = torch.tensor([[0, 4], [1, 4], [2, 4], [3, 4]], dtype=torch.int32)
CONSTANT_37 = torch.tensor([[1, 1], [1, 0], [1, 0], [1, 0]], dtype=torch.bool)
CONSTANT_39 = torch.tensor([[0, 0, 1, 0, 0, 0, 0, 0]], dtype=torch.int32)
CONSTANT_40 = torch.tensor([[1, 0, 1, 0, 0, 0, 0, 0]], dtype=torch.bool)
CONSTANT_42 = torch.tensor(
    [[1, 0, 0, 0, 0, 0, 0, 0], [3, 2, 0, 0, 0, 0, 0, 0], [1, 4, 0, 0, 0, 0, 0, 0]],
    dtype=torch.int32,
)
CONSTANT_43 = torch.tensor(
    [[1, 1, 0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0, 0]],
    dtype=torch.bool,
)
CONSTANT_45 = torch.tensor(
    [[0, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]], dtype=torch.int32
)
CONSTANT_46 = torch.tensor(
    [[1, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]], dtype=torch.bool
)
CONSTANT_48 = torch.tensor(
    [[1, 0, 0, 0, 0, 0, 0, 0], [3, 0, 0, 2, 0, 0, 0, 0], [1, 0, 0, 4, 0, 0, 0, 0]],
    dtype=torch.int32,
)
CONSTANT_49 = torch.tensor(
    [[1, 0, 0, 1, 0, 0, 0, 0], [1, 0, 0, 1, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0, 0]],
    dtype=torch.bool,
)


def sign(x):
    """-1, 0 or 1; NaN stays."""
    return torch.where(x.isnan(), x, x.sign())


@torch.compile
def forward(parameters, data):
    """parameters: f64[8], data: f64[9] -> logpdf: f64[], grad.parameters: f64[8]"""
    rows = parameters[CONSTANT_1.long()]
    rows1 = parameters[torch.zeros((1, 5), dtype=torch.int32).long()]
    t = torch.where(rows > 0.0, CONSTANT_3, CONSTANT_2)
    abs1 = rows.abs()
    mask = abs1 < 1.0
    t1 = torch.where(mask, rows, 0.0)
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
    v = torch.where(mask1, t11, torch.where(mask2, -t11, t8 * t10))[:, None]
    t12 = (rows1[:, None] * CONSTANT_11 + v * CONSTANT_12).sum(dim=0) + CONSTANT_10
    exp = (t * torch.where(mask, 0.0, abs1) + t7.log()).sum(dim=0).exp()
    t13 = torch.where(CONSTANT_15, parameters[CONSTANT_14.long()], 1.0)
    t14 = torch.where(CONSTANT_18, parameters[CONSTANT_17.long()], 1.0)
    t15 = t13 * t14
    v1 = exp * t15
    t16 = t12 * v1
    t17 = torch.where(CONSTANT_21, parameters[CONSTANT_20.long()], 1.0)
    rows2 = (t16 * t17.reshape((2, 5))).reshape((10,))[CONSTANT_23.long()]
    total = torch.where(CONSTANT_24, rows2, 0.0).sum(dim=0)
    v2 = data[:4]
    mask3 = v2 == 0.0
    t18 = torch.where(mask3, 1.0, total)
    mask4 = total < 0.0
    t19 = v2 * t18.log() + torch.where(mask4, torch.nan, -total) - (v2 + 1.0).lgamma()
    t20 = data[CONSTANT_26.long()] - parameters
    t21 = (t20 * t20 * CONSTANT_27).sum(dim=0) * -0.5 - -5.41936241037844
    logpdf = t19.sum(dim=0) + t21
    t22 = t20 * CONSTANT_28
    t23 = torch.where(mask4, torch.tensor(0.0, dtype=torch.float64), 1.0)
    t24 = torch.where(CONSTANT_24, torch.where(mask3, 0.0, v2 / t18) - t23, 0.0)
    t25 = torch.where(CONSTANT_31, t24.reshape((12,))[CONSTANT_30.long()], 0.0)
    total1 = t25.sum(dim=0)
    v3 = (t17 * total1).reshape((2, 5))
    t26 = torch.where(CONSTANT_21, (t16 * total1.reshape((2, 5))).reshape((10,)), 0.0)
    total2 = torch.where(CONSTANT_34, t26[CONSTANT_33.long()], 0.0).sum(dim=0)
    total3 = (t12 * v3).sum(dim=0)
    t27 = exp * total3
    t28 = torch.where(
        CONSTANT_37, torch.where(CONSTANT_18, t13 * t27, 0.0)[CONSTANT_36.long()], 0.0
    )
    t29 = torch.where(CONSTANT_40, t28.sum(dim=0)[CONSTANT_39.long()], 0.0)
    t30 = torch.where(
        CONSTANT_43, torch.where(CONSTANT_15, t14 * t27, 0.0)[CONSTANT_42.long()], 0.0
    )
    v4 = exp * (t15 * total3)
    v5 = v1 * v3
    total4 = (v5 * CONSTANT_12).sum(dim=1)
    t31 = torch.where(mask1, 0.0, total4)
    t32 = torch.where(mask2, 0.0, t31)
    t33 = torch.where(mask1, total4, 0.0) - torch.where(mask2, t31, 0.0)
    t34 = t8 * t32
    t35 = rows1 * (t10 * t32 + t9 * t34 + t8 * t34 * 3.0)
    t36 = v4 / t7
    t37 = t1 * t36
    t38 = t1 * t37
    t39 = t1 * t38
    t40 = t1 * t39
    t41 = t6 * t36 + t5 * t37 + t4 * t38 + t3 * t39 + t2 * t40 + t1 * t40 * CONSTANT_4
    t42 = torch.where(mask, t41, 0.0) + torch.where(mask, 0.0, t * v4) * sign(rows)
    v6 = (t35 + ((v5 * CONSTANT_11).sum(dim=1) + t33 * 8.0 + t35)).reshape((5,))
    total5 = torch.where(CONSTANT_37, v6[CONSTANT_36.long()], 0.0).sum(dim=0)
    total6 = torch.where(CONSTANT_46, total5[CONSTANT_45.long()], 0.0).sum(dim=0)
    t43 = total2 - (t22 + t22) + t29.sum(dim=0) + t30.sum(dim=0) + total6
    t44 = torch.where(CONSTANT_49, t42.reshape((5,))[CONSTANT_48.long()], 0.0)
    grad_parameters = t43 + t44.sum(dim=0)
    return {"logpdf": logpdf, "grad.parameters": grad_parameters}

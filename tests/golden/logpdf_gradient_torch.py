"""A model for PyTorch, written by wootz: forward(parameters, data).

Parameters and results are dicts of arrays by name.
"""

import torch

CONSTANT_0 = torch.tensor(
    [[200.0, 60.0, 50.0, 12.0, 5.0], [180.0, 70.0, 40.0, 9.0, 8.0]], dtype=torch.float64
)
CONSTANT_1 = torch.tensor(
    [[[0.0, 0.0, 2.75, 0.75, 0.0], [0.0, 0.0, -1.25, -0.25, 0.0]]], dtype=torch.float64
)
CONSTANT_2 = torch.tensor(
    [
        [
            [0.0, 0.0, 0.03125, -0.03125, 0.0],
            [0.0, 0.0, -0.03125, 0.018750000000000044, 0.0],
        ],
    ],
    dtype=torch.float64,
)
CONSTANT_4 = torch.tensor([[3, 0, 3, 0, 3]], dtype=torch.int32)
CONSTANT_5 = torch.tensor(
    [[-0.020202707317519466, 0.0, -0.030459207484708574, 0.0, -0.05129329438755058]],
    dtype=torch.float64,
)
CONSTANT_6 = torch.tensor(
    [[0.02955880224154443, 0.0, 0.01980262729617973, 0.0, 0.058268908123975824]],
    dtype=torch.float64,
)
CONSTANT_7 = torch.tensor(
    [[0.0017540846988027005, 0.0, -0.0019978953474945912, 0.0, 0.001307273051478932]],
    dtype=torch.float64,
)
CONSTANT_8 = torch.tensor(
    [[-1.4544397595265076e-5, 0.0, 1.673270006235007e-5, 0.0, -2.384294951472381e-5]],
    dtype=torch.float64,
)
CONSTANT_9 = torch.tensor(
    [[-0.005846441113199982, 0.0, 0.0066591028404731885, 0.0, -0.004355442867147536]],
    dtype=torch.float64,
)
CONSTANT_10 = torch.tensor(
    [[9.014366518047618e-5, 0.0, -9.743762455705026e-5, 0.0, 0.0001711039689262722]],
    dtype=torch.float64,
)
CONSTANT_11 = torch.tensor(
    [[0.009092356414397287, 0.0, -0.009661207492978602, 0.0, 0.008048169815668608]],
    dtype=torch.float64,
)
CONSTANT_12 = torch.tensor(
    [[0.02492440073241481, 0.0, 0.02508070492449472, 0.0, 0.05485273898058849]],
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
CONSTANT_29 = torch.tensor(
    [[0, 4, 2, 6, 10, 1, 5, 3, 7, 11], [8, 4, 2, 6, 10, 9, 5, 3, 7, 11]],
    dtype=torch.int32,
)
CONSTANT_30 = torch.tensor(
    [[1, 1, 1, 1, 1, 1, 1, 1, 1, 1], [1, 0, 0, 0, 0, 1, 0, 0, 0, 0]], dtype=torch.bool
)
CONSTANT_32 = torch.tensor(
    [
        [0, 0, 0, 0, 1, 6, 2, 7],
        [4, 0, 0, 0, 1, 6, 3, 8],
        [5, 0, 0, 0, 1, 6, 2, 7],
        [9, 0, 0, 0, 1, 6, 3, 8],
    ],
    dtype=torch.int32,
)
CONSTANT_33 = torch.tensor(
    [
        [1, 0, 0, 0, 1, 1, 1, 1],
        [1, 0, 0, 0, 0, 0, 1, 1],
        [1, 0, 0, 0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0, 0, 0],
    ],
    dtype=torch.bool,
)
CONSTANT_35 = torch.tensor([[0, 4], [1, 4], [2, 4], [3, 4]], dtype=torch.int32)
CONSTANT_36 = torch.tensor([[1, 1], [1, 0], [1, 0], [1, 0]], dtype=torch.bool)
CONSTANT_38 = torch.tensor([[0, 0, 1, 0, 0, 0, 0, 0]], dtype=torch.int32)
CONSTANT_39 = torch.tensor([[1, 0, 1, 0, 0, 0, 0, 0]], dtype=torch.bool)
CONSTANT_41 = torch.tensor(
    [[1, 0, 0, 0, 0, 0, 0, 0], [3, 2, 0, 0, 0, 0, 0, 0], [1, 4, 0, 0, 0, 0, 0, 0]],
    dtype=torch.int32,
)
CONSTANT_42 = torch.tensor(
    [[1, 1, 0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0, 0]],
    dtype=torch.bool,
)
CONSTANT_44 = torch.tensor(
    [[1, 0, 0, 0, 0, 0, 0, 0], [3, 0, 0, 2, 0, 0, 0, 0], [1, 0, 0, 4, 0, 0, 0, 0]],
    dtype=torch.int32,
)
CONSTANT_45 = torch.tensor(
    [[1, 0, 0, 1, 0, 0, 0, 0], [1, 0, 0, 1, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0, 0]],
    dtype=torch.bool,
)
CONSTANT_47 = torch.tensor(
    [[0, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]], dtype=torch.int32
)
CONSTANT_48 = torch.tensor(
    [[1, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]], dtype=torch.bool
)


def sign(x):
    """-1, 0 or 1; NaN stays."""
    return torch.where(x.isnan(), x, x.sign())


@torch.compile
def forward(parameters, data):
    """parameters: f64[8], data: f64[9] -> logpdf: f64[], grad.parameters: f64[8]"""
    rows = parameters[torch.zeros((1, 5), dtype=torch.int32).long()]
    mask = rows > 1.0
    mask1 = rows < -1.0
    t = rows * rows
    t1 = t * 3.0 + -10.0
    t2 = t * t1 + 15.0
    t3 = rows * 8.0
    v = torch.where(mask, t3, torch.where(mask1, -t3, t * t2))[:, None]
    t4 = (rows[:, None] * CONSTANT_1 + v * CONSTANT_2).sum(dim=0) + CONSTANT_0
    rows1 = parameters[CONSTANT_4.long()]
    t5 = torch.where(rows1 > 0.0, CONSTANT_6, CONSTANT_5)
    abs1 = rows1.abs()
    mask2 = abs1 < 1.0
    t6 = torch.where(mask2, rows1, 0.0)
    t7 = t6 * CONSTANT_7 + CONSTANT_8
    t8 = t6 * t7 + CONSTANT_9
    t9 = t6 * t8 + CONSTANT_10
    t10 = t6 * t9 + CONSTANT_11
    t11 = t6 * t10 + CONSTANT_12
    t12 = t6 * t11 + 1.0
    exp = (t5 * torch.where(mask2, 0.0, abs1) + t12.log()).sum(dim=0).exp()
    t13 = torch.where(CONSTANT_15, parameters[CONSTANT_14.long()], 1.0)
    t14 = torch.where(CONSTANT_18, parameters[CONSTANT_17.long()], 1.0)
    t15 = t13 * t14
    v1 = exp * t15
    t16 = t4 * v1
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
    t22 = t20 * (CONSTANT_27 * -0.5)
    t23 = torch.where(mask4, torch.tensor(0.0, dtype=torch.float64), 1.0)
    t24 = torch.where(CONSTANT_24, torch.where(mask3, 0.0, v2 / t18) - t23, 0.0)
    t25 = torch.where(CONSTANT_30, t24.reshape((12,))[CONSTANT_29.long()], 0.0)
    total1 = t25.sum(dim=0)
    v3 = (t17 * total1).reshape((2, 5))
    t26 = torch.where(CONSTANT_21, (t16 * total1.reshape((2, 5))).reshape((10,)), 0.0)
    total2 = torch.where(CONSTANT_33, t26[CONSTANT_32.long()], 0.0).sum(dim=0)
    total3 = (t4 * v3).sum(dim=0)
    t27 = exp * total3
    t28 = torch.where(
        CONSTANT_36, torch.where(CONSTANT_18, t13 * t27, 0.0)[CONSTANT_35.long()], 0.0
    )
    t29 = torch.where(CONSTANT_39, t28.sum(dim=0)[CONSTANT_38.long()], 0.0)
    t30 = torch.where(
        CONSTANT_42, torch.where(CONSTANT_15, t14 * t27, 0.0)[CONSTANT_41.long()], 0.0
    )
    v4 = exp * (t15 * total3)
    t31 = v4 / t12
    t32 = t6 * t31
    t33 = t6 * t32
    t34 = t6 * t33
    t35 = t6 * t34
    t36 = t11 * t31 + t10 * t32 + t9 * t33 + t8 * t34 + t7 * t35 + t6 * t35 * CONSTANT_7
    t37 = torch.where(mask2, t36, 0.0) + torch.where(mask2, 0.0, t5 * v4) * sign(rows1)
    t38 = torch.where(CONSTANT_45, t37.reshape((5,))[CONSTANT_44.long()], 0.0)
    t39 = total2 - (t22 + t22) + t29.sum(dim=0) + t30.sum(dim=0) + t38.sum(dim=0)
    v5 = v1 * v3
    total4 = (v5 * CONSTANT_2).sum(dim=1)
    t40 = torch.where(mask, 0.0, total4)
    t41 = torch.where(mask1, 0.0, t40)
    t42 = torch.where(mask, total4, 0.0) - torch.where(mask1, t40, 0.0)
    t43 = t * t41
    t44 = rows * (t2 * t41 + t1 * t43 + t * t43 * 3.0)
    v6 = (t44 + ((v5 * CONSTANT_1).sum(dim=1) + t42 * 8.0 + t44)).reshape((5,))
    total5 = torch.where(CONSTANT_36, v6[CONSTANT_35.long()], 0.0).sum(dim=0)
    total6 = torch.where(CONSTANT_48, total5[CONSTANT_47.long()], 0.0).sum(dim=0)
    grad_parameters = t39 + total6
    return {"logpdf": logpdf, "grad.parameters": grad_parameters}

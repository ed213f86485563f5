"""A model for PyTorch, written by wootz: forward(parameters, data).

Parameters and results are dicts of arrays by name.
"""

import torch

NORMSYS_INDEX = torch.tensor([[3, 0, 3, 0, 3]], dtype=torch.int64)
NORMSYS = torch.tensor(
    [[0.02955880224154443, 0.0, 0.01980262729617973, 0.0, 0.058268908123975824]],
    dtype=torch.float64,
)
NORMSYS1 = torch.tensor(
    [[-0.020202707317519466, 0.0, -0.030459207484708574, 0.0, -0.05129329438755058]],
    dtype=torch.float64,
)
NORMSYS2 = torch.tensor(
    [[0.0017540846988027005, 0.0, -0.0019978953474945912, 0.0, 0.001307273051478932]],
    dtype=torch.float64,
)
NORMSYS3 = torch.tensor(
    [[-1.4544397595265076e-5, 0.0, 1.673270006235007e-5, 0.0, -2.384294951472381e-5]],
    dtype=torch.float64,
)
NORMSYS4 = torch.tensor(
    [[-0.005846441113199982, 0.0, 0.0066591028404731885, 0.0, -0.004355442867147536]],
    dtype=torch.float64,
)
NORMSYS5 = torch.tensor(
    [[9.014366518047618e-5, 0.0, -9.743762455705026e-5, 0.0, 0.0001711039689262722]],
    dtype=torch.float64,
)
NORMSYS6 = torch.tensor(
    [[0.009092356414397287, 0.0, -0.009661207492978602, 0.0, 0.008048169815668608]],
    dtype=torch.float64,
)
NORMSYS7 = torch.tensor(
    [[0.02492440073241481, 0.0, 0.02508070492449472, 0.0, 0.05485273898058849]],
    dtype=torch.float64,
)
HISTOSYS = torch.tensor(
    [[[0.0, 0.0, 2.75, 0.75, 0.0], [0.0, 0.0, -1.25, -0.25, 0.0]]], dtype=torch.float64
)
HISTOSYS1 = torch.tensor(
    [
        [
            [0.0, 0.0, 0.03125, -0.03125, 0.0],
            [0.0, 0.0, -0.03125, 0.018750000000000044, 0.0],
        ],
    ],
    dtype=torch.float64,
)
HISTOSYS2 = torch.tensor(
    [[200.0, 60.0, 50.0, 12.0, 5.0], [180.0, 70.0, 40.0, 9.0, 8.0]], dtype=torch.float64
)
SAMPLE_FACTORS_INDEX = torch.tensor([1, 0, 1, 0, 1], dtype=torch.int64)
SAMPLE_FACTORS_MASK = torch.tensor([1, 0, 1, 0, 1], dtype=torch.bool)
SAMPLE_FACTORS_INDEX1 = torch.tensor([0, 0, 0, 0, 2], dtype=torch.int64)
SAMPLE_FACTORS_MASK1 = torch.tensor([0, 0, 0, 0, 1], dtype=torch.bool)
BIN_FACTORS_INDEX = torch.tensor([0, 4, 6, 6, 0, 0, 5, 7, 7, 0], dtype=torch.int64)
BIN_FACTORS_MASK = torch.tensor([0, 1, 1, 1, 0, 0, 1, 1, 1, 0], dtype=torch.bool)
RATES_INDEX = torch.tensor(
    [[0, 5, 2, 7], [1, 6, 3, 8], [0, 5, 4, 9]], dtype=torch.int64
)
RATES_MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 1, 1]], dtype=torch.bool)
NORMAL_CONSTRAINTS_INDEX = torch.tensor([4, 5, 4, 6, 4, 4, 7, 8], dtype=torch.int64)
NORMAL_CONSTRAINTS = torch.tensor(
    [1.0, 2500.0, 0.0, 1.0, 0.0, 0.0, 452.2352941176471, 441.36029411764713],
    dtype=torch.float64,
)
NORMAL_CONSTRAINTS1 = torch.tensor(
    [-0.5, -1250.0, -0.0, -0.5, -0.0, -0.0, -226.11764705882354, -220.68014705882356],
    dtype=torch.float64,
)
RATES_INDEX1 = torch.tensor(
    [[0, 4, 2, 6, 10, 1, 5, 3, 7, 11], [8, 4, 2, 6, 10, 9, 5, 3, 7, 11]],
    dtype=torch.int64,
)
RATES_MASK1 = torch.tensor(
    [[1, 1, 1, 1, 1, 1, 1, 1, 1, 1], [1, 0, 0, 0, 0, 1, 0, 0, 0, 0]], dtype=torch.bool
)
BIN_FACTORS_INDEX1 = torch.tensor(
    [
        [0, 0, 0, 0, 1, 6, 2, 7],
        [4, 0, 0, 0, 1, 6, 3, 8],
        [5, 0, 0, 0, 1, 6, 2, 7],
        [9, 0, 0, 0, 1, 6, 3, 8],
    ],
    dtype=torch.int64,
)
BIN_FACTORS_MASK1 = torch.tensor(
    [
        [1, 0, 0, 0, 1, 1, 1, 1],
        [1, 0, 0, 0, 0, 0, 1, 1],
        [1, 0, 0, 0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0, 0, 0],
    ],
    dtype=torch.bool,
)
SAMPLE_FACTORS_INDEX2 = torch.tensor(
    [[0, 4], [1, 4], [2, 4], [3, 4]], dtype=torch.int64
)
SAMPLE_FACTORS_MASK2 = torch.tensor([[1, 1], [1, 0], [1, 0], [1, 0]], dtype=torch.bool)
SAMPLE_FACTORS_INDEX3 = torch.tensor([[0, 0, 1, 0, 0, 0, 0, 0]], dtype=torch.int64)
SAMPLE_FACTORS_MASK3 = torch.tensor([[1, 0, 1, 0, 0, 0, 0, 0]], dtype=torch.bool)
SAMPLE_FACTORS_INDEX4 = torch.tensor(
    [[1, 0, 0, 0, 0, 0, 0, 0], [3, 2, 0, 0, 0, 0, 0, 0], [1, 4, 0, 0, 0, 0, 0, 0]],
    dtype=torch.int64,
)
SAMPLE_FACTORS_MASK4 = torch.tensor(
    [[1, 1, 0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0, 0]],
    dtype=torch.bool,
)
HISTOSYS_INDEX = torch.tensor(
    [[0, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]], dtype=torch.int64
)
HISTOSYS_MASK = torch.tensor(
    [[1, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]], dtype=torch.bool
)
NORMSYS_INDEX1 = torch.tensor(
    [[1, 0, 0, 0, 0, 0, 0, 0], [3, 0, 0, 2, 0, 0, 0, 0], [1, 0, 0, 4, 0, 0, 0, 0]],
    dtype=torch.int64,
)
NORMSYS_MASK = torch.tensor(
    [[1, 0, 0, 1, 0, 0, 0, 0], [1, 0, 0, 1, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0, 0]],
    dtype=torch.bool,
)


def sign(x):
    """-1, 0 or 1; NaN stays."""
    return torch.where(x.isnan(), x, x.sign())


@torch.compile
def forward(parameters, data):
    """parameters: f64[8], data: f64[9] -> logpdf: f64[], grad.parameters: f64[8]"""
    # normsys
    rows = parameters[NORMSYS_INDEX]
    # histosys
    rows1 = parameters[torch.zeros((1, 5), dtype=torch.int64)]
    # normsys
    t = torch.where(rows > 0.0, NORMSYS, NORMSYS1)
    abs1 = rows.abs()
    mask = abs1 < 1.0
    t1 = torch.where(mask, rows, 0.0)
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
    v = torch.where(mask1, t11, torch.where(mask2, -t11, t8 * t10))[:, None]
    t12 = (rows1[:, None] * HISTOSYS + v * HISTOSYS1).sum(dim=0) + HISTOSYS2
    # normsys
    exp = (t * torch.where(mask, 0.0, abs1) + t7.log()).sum(dim=0).exp()
    # sample factors
    t13 = torch.where(SAMPLE_FACTORS_MASK, parameters[SAMPLE_FACTORS_INDEX], 1.0)
    t14 = torch.where(SAMPLE_FACTORS_MASK1, parameters[SAMPLE_FACTORS_INDEX1], 1.0)
    t15 = t13 * t14
    v1 = exp * t15
    t16 = t12 * v1
    # bin factors
    t17 = torch.where(BIN_FACTORS_MASK, parameters[BIN_FACTORS_INDEX], 1.0)
    t18 = t16 * t17.reshape((2, 5))
    # rates
    t19 = torch.where(RATES_MASK, t18.reshape((10,))[RATES_INDEX], 0.0)
    total = t19.sum(dim=0)
    # main
    v2 = data[:4]
    mask3 = v2 == 0.0
    t20 = torch.where(mask3, 1.0, total)
    mask4 = total < 0.0
    t21 = v2 * t20.log() + torch.where(mask4, torch.nan, -total) - (v2 + 1.0).lgamma()
    total1 = t21.sum(dim=0)
    # normal constraints
    t22 = data[NORMAL_CONSTRAINTS_INDEX] - parameters
    t23 = (t22 * t22 * NORMAL_CONSTRAINTS).sum(dim=0) * -0.5 + 5.41936241037844
    logpdf = total1 + t23
    t24 = t22 * NORMAL_CONSTRAINTS1
    t25 = t24 + t24
    # main
    t26 = torch.where(mask4, torch.tensor(0.0, dtype=torch.float64), 1.0)
    t27 = torch.where(mask3, 0.0, v2 / t20) - t26
    # rates
    rows2 = torch.where(RATES_MASK, t27, 0.0).reshape((12,))[RATES_INDEX1]
    total2 = torch.where(RATES_MASK1, rows2, 0.0).sum(dim=0)
    # bin factors
    v3 = (t17 * total2).reshape((2, 5))
    t28 = torch.where(
        BIN_FACTORS_MASK, (t16 * total2.reshape((2, 5))).reshape((10,)), 0.0
    )
    total3 = torch.where(BIN_FACTORS_MASK1, t28[BIN_FACTORS_INDEX1], 0.0).sum(dim=0)
    t29 = total3 - t25
    # sample factors
    t30 = v1 * v3
    total4 = (t12 * v3).sum(dim=0)
    t31 = t15 * total4
    t32 = exp * total4
    rows3 = torch.where(SAMPLE_FACTORS_MASK1, t13 * t32, 0.0)[SAMPLE_FACTORS_INDEX2]
    rows4 = torch.where(SAMPLE_FACTORS_MASK2, rows3, 0.0).sum(dim=0)[
        SAMPLE_FACTORS_INDEX3
    ]
    t33 = t29 + torch.where(SAMPLE_FACTORS_MASK3, rows4, 0.0).sum(dim=0)
    rows5 = torch.where(SAMPLE_FACTORS_MASK, t14 * t32, 0.0)[SAMPLE_FACTORS_INDEX4]
    t34 = t33 + torch.where(SAMPLE_FACTORS_MASK4, rows5, 0.0).sum(dim=0)
    # normsys
    v4 = exp * t31
    # histosys
    total5 = (t30 * HISTOSYS1).sum(dim=1)
    t35 = torch.where(mask1, 0.0, total5)
    t36 = torch.where(mask2, 0.0, t35)
    t37 = torch.where(mask1, total5, 0.0) - torch.where(mask2, t35, 0.0)
    t38 = t8 * t36
    t39 = rows1 * (t10 * t36 + t9 * t38 + t8 * t38 * 3.0)
    # normsys
    t40 = v4 / t7
    t41 = t1 * t40
    t42 = t1 * t41
    t43 = t1 * t42
    t44 = t1 * t43
    t45 = t6 * t40 + t5 * t41 + t4 * t42 + t3 * t43 + t2 * t44 + t1 * t44 * NORMSYS2
    t46 = torch.where(mask, t45, 0.0) + torch.where(mask, 0.0, t * v4) * sign(rows)
    # histosys
    v5 = (t39 + ((t30 * HISTOSYS).sum(dim=1) + t37 * 8.0 + t39)).reshape((5,))
    t47 = torch.where(SAMPLE_FACTORS_MASK2, v5[SAMPLE_FACTORS_INDEX2], 0.0)
    t48 = torch.where(HISTOSYS_MASK, t47.sum(dim=0)[HISTOSYS_INDEX], 0.0)
    t49 = t34 + t48.sum(dim=0)
    # normsys
    t50 = torch.where(NORMSYS_MASK, t46.reshape((5,))[NORMSYS_INDEX1], 0.0)
    grad_parameters = t49 + t50.sum(dim=0)
    return {"logpdf": logpdf, "grad.parameters": grad_parameters}

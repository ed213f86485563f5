"""Initial values of parameters: what `weight_init`, `bias_init` and `Module.param` take. A number and an array are initial values
too."""

zeros = "zeros"
ones = "ones"


def uniform(low: float, high: float) -> tuple:
    """Uniform in [low, high)."""
    return ("uniform", low, high)


def normal(mean: float = 0.0, std: float = 1.0) -> tuple:
    """Normal."""
    return ("normal", mean, std)


def kaiming_uniform(a: float = 0.0) -> tuple:
    """PyTorch's `kaiming_uniform_` for weights before a (leaky) ReLU of slope `a` (He et al. 2015)."""
    return ("kaiming_uniform", a)


def kaiming_normal(a: float = 0.0) -> tuple:
    """PyTorch's `kaiming_normal_` for weights before a (leaky) ReLU of slope `a` (He et al. 2015)."""
    return ("kaiming_normal", a)


def xavier_uniform(gain: float = 1.0) -> tuple:
    """PyTorch's `xavier_uniform_` (Glorot and Bengio 2010)."""
    return ("xavier_uniform", gain)


def xavier_normal(gain: float = 1.0) -> tuple:
    """PyTorch's `xavier_normal_` (Glorot and Bengio 2010)."""
    return ("xavier_normal", gain)

def cumsum(x, axis, reverse=False, exclusive=False):
    """Running sums along an axis: from its end if reversed, without the element itself if exclusive."""
    total = np.cumsum(np.flip(x, axis) if reverse else x, axis=axis).astype(x.dtype)
    if exclusive:
        total = np.moveaxis(total, axis, 0)
        total = np.concatenate([np.zeros_like(total[:1]), total[:-1]])
        total = np.moveaxis(total, 0, axis)
    return np.flip(total, axis) if reverse else total

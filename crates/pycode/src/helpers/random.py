def threefry2x32(key, counter):
    """Two random words for a key and a counter, 20 rounds (Salmon et al., SC 2011)."""
    (k0, k1), (x, y) = key, counter
    schedule = [k0, k1, k0 ^ k1 ^ 0x1BD11BDA]
    x, y = x + k0, y + k1
    for group in range(5):
        for rotation in [(13, 15, 26, 6), (17, 29, 16, 24)][group % 2]:
            x = x + y
            y = ((y << rotation) | (y >> (32 - rotation))) ^ x
        x = x + schedule[(group + 1) % 3]
        y = y + schedule[(group + 2) % 3] + (group + 1)
    return x, y


def random_bits(key, shape):
    """Random 32-bit words of this shape for each key of two words."""
    count = math.prod(shape)
    blocks = np.arange((count + 1) // 2, dtype=np.uint32)
    keys = key[..., 0, None], key[..., 1, None]
    words = np.stack(threefry2x32(keys, (blocks * 0, blocks)), axis=-1)
    words = words.reshape((*key.shape[:-1], 2 * len(blocks)))[..., :count]
    return words.reshape((*key.shape[:-1], *shape))


def fold_in(key, data):
    """The key of the stream that belongs to `data`."""
    last = np.full(data.shape, 0xFFFFFFFF, dtype=np.uint32)
    return np.stack(threefry2x32((key[..., 0], key[..., 1]), (data, last)), axis=-1)

"""HistFactory models against pyhf, mpmath and finite differences; workspaces against pyhf."""

import copy
import json

import histfactory_workspaces as hf
import numpy as np
import pyhf
import pytest
import wootz as wz
from hypothesis import example, given, settings
from hypothesis import strategies as st

# pyhf's arrays meet zeros of the templates.
pytestmark = [
    pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pyhf"),
]

WORKLOADS = ["simple", "complex-8p", "thu-like", "stress"]
CODES = [("code4", "code4p"), ("code1", "code0"), ("code4", "code2"), ("code1", "code4p")]


def settings_of(codes):
    return {"normsys": {"interpcode": codes[0]}, "histosys": {"interpcode": codes[1]}}


def check_config(ours, theirs):
    assert ours.par_order == theirs.par_order
    assert ours.par_names == theirs.par_names
    assert ours.channels == theirs.channels
    assert ours.samples == theirs.samples
    assert ours.modifiers == theirs.modifiers
    assert ours.channel_slices == theirs.channel_slices
    assert ours.poi_index == theirs.poi_index
    assert ours.suggested_init.tolist() == theirs.suggested_init()
    assert ours.suggested_bounds.tolist() == [list(b) for b in theirs.suggested_bounds()]
    assert ours.suggested_fixed.tolist() == theirs.suggested_fixed()
    np.testing.assert_allclose(ours.auxdata, theirs.auxdata, rtol=1e-14)


def check_model(spec, points=4, codes=CODES[0], **clips):
    """Order, rates and log-density of pyhf at a few points."""
    theirs = pyhf.Workspace(spec)
    their_model = theirs.model(modifier_settings=settings_of(codes), **clips)
    ours = wz.histfactory.load(spec)
    model = ours.model(modifier_settings=settings_of(codes), **clips)
    check_config(model.config, their_model.config)
    data = ours.data(model)
    np.testing.assert_allclose(data, theirs.data(their_model), rtol=1e-14)
    for point in hf.random_points(model.config, points, seed=5):
        rates = their_model.expected_data(point)
        np.testing.assert_allclose(model.expected_data(point), rates, rtol=1e-12, atol=0)
        expected = float(their_model.logpdf(point, data)[0])
        if (rates[: model.config.nmaindata] < 0).any():
            # Where nothing is counted pyhf has a density for a negative rate, too.
            with pytest.raises(wz.NegativeRateError):
                model.logpdf(point, data)
        elif np.isfinite(expected):
            assert abs(model.logpdf(point, data) - expected) <= 1e-10 * abs(expected)
        else:
            assert model.logpdf(point, data) == expected == -np.inf


@pytest.mark.parametrize("name", WORKLOADS)
def test_workloads_are_pyhfs(name):
    check_model(wz.histfactory.workload(name).to_dict())


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), codes=st.sampled_from(CODES))
@example(seed=315120283, codes=("code4", "code4p"))  # A negative rate where nothing is counted.
def test_random_workspaces_are_pyhfs(seed, codes):
    check_model(hf.random_workspace(seed), codes=codes)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), sample=st.sampled_from([None, 1e-3, 5.0]), least=st.sampled_from([None, 30.0]))
def test_clipping_is_pyhfs(seed, sample, least):
    check_model(hf.random_workspace(seed), clip_sample_data=sample, clip_bin_data=least)


def test_settings_given_in_part_are_pyhfs():
    spec = wz.histfactory.workload("complex-8p").to_dict()
    given_settings = {"normsys": {"interpcode": "code4"}}
    theirs = pyhf.Workspace(spec).model(modifier_settings=given_settings)
    ours = wz.histfactory.load(spec).model(modifier_settings=given_settings)
    point = [0.7, 1.0, 1.0, 0.7, 1.0, 1.0, 1.0, 1.0]
    np.testing.assert_allclose(ours.expected_data(point), theirs.expected_data(point), rtol=1e-12)


def test_pyhf_objects_are_taken():
    spec = wz.histfactory.workload("complex-8p").to_dict()
    theirs = pyhf.Workspace(spec)
    assert wz.histfactory.load(theirs) == wz.histfactory.load(spec)
    their_model = theirs.model(modifier_settings=settings_of(CODES[1]), clip_bin_data=1e-3)
    model = wz.histfactory.load(their_model)
    check_config(model.config, their_model.config)
    point = hf.random_points(model.config, 2, seed=1)[1]
    np.testing.assert_allclose(model.expected_data(point), their_model.expected_data(point), rtol=1e-12)


def test_samples_add_up():
    model = wz.histfactory.workload("complex-8p").model()
    point = hf.random_points(model.config, 2, seed=3)[1]
    by_sample = model.expected_sample_data(point)
    assert by_sample.shape == (3, 4)
    np.testing.assert_allclose(by_sample.sum(axis=0), model.expected_actualdata(point), rtol=1e-13)
    assert by_sample[model.config.samples.index("signal"), model.config.channel_slices["CR"]].tolist() == [0.0, 0.0]


def test_batches():
    ws = wz.histfactory.workload("complex-8p")
    model = ws.model()
    data = ws.data(model)
    points = np.array(hf.random_points(model.config, 5, seed=4))
    one_by_one = [model.logpdf(p, data) for p in points]
    np.testing.assert_allclose(model.logpdf(points, data), one_by_one, rtol=1e-13)
    toys = np.stack([data, data + 1.0])
    np.testing.assert_allclose(model.logpdf(points[0], toys), [model.logpdf(points[0], t) for t in toys], rtol=1e-13)
    gradients = model.gradient(points, data)
    np.testing.assert_allclose(gradients, [model.gradient(p, data) for p in points], rtol=1e-11, atol=1e-12)


def test_workspaces_are_edited_as_by_pyhf():
    spec = wz.histfactory.workload("complex-8p").to_dict()
    ours, theirs = wz.histfactory.load(spec), pyhf.Workspace(spec)

    def check(a, b):
        assert a.to_dict() == dict(b)
        assert a.digest() == pyhf.utils.digest(b)

    check(ours, theirs)
    assert ours.digest("md5") == pyhf.utils.digest(theirs, "md5")
    check(ours.sorted(), pyhf.Workspace.sorted(theirs))
    check(ours.rename(modifiers={"mu": "nu"}, channels={"SR": "A"}), theirs.rename(modifiers={"mu": "nu"}, channels={"SR": "A"}))
    check(ours.prune(channels=["CR"]), theirs.prune(channels=["CR"]))
    what = {"modifiers": ["jes"], "modifier_types": ["histosys"], "samples": ["multijet"]}
    check(ours.prune(**what), theirs.prune(**what))
    other = theirs.rename(channels={"SR": "A", "CR": "B"}, samples={"signal": "s"}, measurements={"measurement": "m2"})
    ours2 = wz.histfactory.load(other)
    for join in ("none", "outer", "left outer", "right outer"):
        a = wz.histfactory.Workspace.combine(ours, ours2, join)
        check(a, pyhf.Workspace.combine(theirs, other, join))
    other = theirs.rename(samples={"signal": "s"})
    ours2 = wz.histfactory.load(other)
    for join in ("left outer", "right outer"):
        for merge in (False, True):
            a = wz.histfactory.Workspace.combine(ours, ours2, join, merge)
            check(a, pyhf.Workspace.combine(theirs, other, join, merge))
    with pytest.raises(wz.WorkspaceError, match="have channel `SR` in common"):
        wz.histfactory.Workspace.combine(ours, ours2)
    with pytest.raises(wz.UnknownNameError, match="no sample named `nothing`"):
        ours.prune(samples=["nothing"])


def test_every_measurement_has_its_model():
    spec = wz.histfactory.workload("complex-8p").to_dict()
    second = copy.deepcopy(spec["measurements"][0])
    second["name"] = "second"
    second["config"]["poi"] = "jes"
    second["config"]["parameters"].append({"name": "mu", "inits": [0.5], "bounds": [[0.0, 3.0]], "fixed": True})
    spec["measurements"].append(second)
    ws = wz.histfactory.load(spec)
    assert ws.measurements == ["measurement", "second"]
    first, other = ws.model(), ws.model("second")
    assert (first.config.poi_name, other.config.poi_name) == ("mu", "jes")
    check_config(other.config, pyhf.Workspace(spec).model(measurement_name="second").config)
    assert ws.model("second", poi="mu").config.poi_name == "mu"
    place = other.config.par_slice("mu")
    assert other.config.suggested_init[place] == 0.5
    fit = other.fit(ws.data(other))
    assert fit["mu"] == 0.5
    assert not fit.fitted[place].any()


def test_summaries_say_what_there_is():
    text = str(wz.histfactory.workload("thu-like").summary())
    lines = dict(line.split(None, 1) for line in text.splitlines()[:4])
    assert lines == {"channels": "11 (41 bins)", "samples": "12", "parameters": lines["parameters"], "modifiers": lines["modifiers"]}
    spec = wz.histfactory.workload("thu-like").to_dict()
    modifiers = [m for c in spec["channels"] for s in c["samples"] for m in s["modifiers"]]
    assert int(lines["modifiers"]) == len(modifiers)
    assert int(lines["parameters"]) == len({(m["name"], m["type"]) for m in modifiers})
    small = str(wz.histfactory.workload("complex-8p").summary())
    for part in ("SR", "jes", "histosys", "multijet", "measurement", "mu, "):
        assert part in small


def large(path, size, broken=False):
    """Writes a workspace of at least `size` bytes, one sample after the other, with an error at the very end if asked for."""
    bins = 400
    numbers = ", ".join(f"{10 + i * 1e-3:.6f}" for i in range(bins))
    modifier = '{"name": "a%d", "type": "histosys", "data": {"lo_data": [' + numbers + '], "hi_data": [' + numbers + "]}}"
    poi = '{"name": "mu", "type": "normfactor", "data": null}'
    with path.open("w") as file:
        file.write('{"version": "1.0.0", "channels": [{"name": "SR", "samples": [')
        count = 0
        while file.tell() < size:
            separator = ", " if count else ""
            modifiers = ", ".join([poi] * (count == 0) + [modifier % (count % 50 + i) for i in range(10)])
            file.write(f'{separator}{{"name": "s{count}", "data": [{numbers}], "modifiers": [{modifiers}]}}')
            count += 1
        if broken:
            file.write(', {"name": "last", "data": [1.0], "modifiers": []}')
        counts = ", ".join(["100"] * bins)
        file.write(f']}}], "observations": [{{"name": "SR", "data": [{counts}]}}], ')
        file.write('"measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}]}')
    return count


def test_a_workspace_of_200_megabytes(tmp_path):
    path = tmp_path / "large.json"
    samples = large(path, 200 << 20)
    assert path.stat().st_size > 200 << 20
    ws = wz.histfactory.load(path)
    assert ws.channels == {"SR": 400}
    model = ws.model()
    assert (model.config.npars, len(model.config.samples)) == (60, samples)
    assert ws.data(model)[0] == 100.0


def test_an_error_at_the_end_of_a_large_workspace_has_its_place(tmp_path):
    path = tmp_path / "broken.json"
    samples = large(path, 20 << 20, broken=True)
    with pytest.raises(wz.WorkspaceError, match="has 1 entries and channel `SR` has 400 bins") as raised:
        wz.histfactory.load(path)
    assert raised.value.path == f"channels[0].samples[{samples}].data"
    with path.open("r+") as file:
        file.truncate(path.stat().st_size - 30)
    with pytest.raises(wz.WorkspaceError, match="line 1, column"):
        wz.histfactory.load(path)


def test_digests_depend_on_how_numbers_are_written():
    text = wz.histfactory.workload("simple").to_json()
    for changed in (text, text.replace("5.0", "5"), text.replace("5.0", "5e-07"), text.replace("signal", "señal \\n")):
        spec = json.loads(changed)
        assert wz.histfactory.load(spec).digest() == pyhf.utils.digest(spec)


def test_patch_sets():
    ws = wz.histfactory.workload("simple")
    patch = [
        {"op": "replace", "path": "/channels/0/samples/0/data", "value": [7.0, 3]},
        {"op": "add", "path": "/channels/0/samples/0/modifiers/-", "value": {"name": "k", "type": "normfactor", "data": None}},
    ]
    spec = {
        "metadata": {
            "references": {"hepdata": "ins1234567"},
            "digests": {"sha256": ws.digest(), "md5": ws.digest("md5")},
            "labels": ["mass", "width"],
            "description": "two hypotheses",
        },
        "patches": [
            {"metadata": {"name": "light", "values": [100, 1.5]}, "patch": patch},
            {"metadata": {"name": "heavy", "values": [200, 1.5]}, "patch": []},
        ],
        "version": "1.0.0",
    }
    patches = wz.histfactory.PatchSet.load(spec)
    theirs = pyhf.PatchSet(spec)
    assert (patches.description, patches.labels, len(patches)) == ("two hypotheses", ["mass", "width"], 2)
    assert patches.patches == {"light": (100, 1.5), "heavy": (200, 1.5)}
    original = pyhf.Workspace(ws.to_dict())
    for key in ("light", (100, 1.5), [200.0, 1.5]):
        their_key = tuple(key) if isinstance(key, list) else key
        assert patches.apply(ws, key).to_dict() == dict(theirs.apply(original, their_key))
    with pytest.raises(wz.UnknownNameError, match="no patch named `lighter`"):
        patches.apply(ws, "lighter")
    with pytest.raises(wz.WorkspaceError, match="for another workspace"):
        patches.verify(ws.prune(modifiers=["uncorr_bkguncrt"]))


def broken(change):
    spec = wz.histfactory.workload("complex-8p").to_dict()
    change(spec)
    return spec


def sample(spec, channel=0, index=1):
    return spec["channels"][channel]["samples"][index]


BROKEN = [
    (lambda s: s.pop("channels"), ".", "missing field `channels`"),
    (lambda s: s.update(version="2.0.0"), "version", "1.0.0"),
    (lambda s: s.update(extra=1), "extra", "unknown field"),
    (lambda s: s["channels"].clear(), "channels", "at least one"),
    (lambda s: sample(s).pop("data"), "channels[0].samples[1]", "missing field `data`"),
    (lambda s: sample(s)["data"].append(1.0), "channels[0].samples[1].data", "has 3 entries"),
    (lambda s: sample(s).update(data=[1.0, "x"]), "channels[0].samples[1].data[1]", "a number"),
    (lambda s: sample(s).update(data=[1.0, True]), "channels[0].samples[1].data[1]", "a number"),
    (lambda s: sample(s).update(data=[1.0, float("nan")]), "channels[0].samples[1].data[1]", "nan"),
    (lambda s: sample(s).update(name="signal"), "channels[0].samples[1]", "already a sample"),
    (lambda s: s["channels"][1].update(name="SR"), "channels[1]", "already a channel"),
    (lambda s: sample(s)["modifiers"][0].update(type="lumix"), "channels[0].samples[1].modifiers[0].type", "not a modifier type"),
    (lambda s: sample(s)["modifiers"][1]["data"].pop("lo"), "channels[0].samples[1].modifiers[1].data", "lo, hi"),
    (lambda s: sample(s)["modifiers"][1].update(data=None), "channels[0].samples[1].modifiers[1]", "must be"),
    (lambda s: sample(s)["modifiers"][1]["data"].update(hi=-1.0), "channels[0].samples[1].modifiers[1].data.hi", "positive"),
    (lambda s: sample(s)["modifiers"][2]["data"]["hi_data"].pop(), "channels[0].samples[1].modifiers[2].data.hi_data", "has 1"),
    (lambda s: sample(s)["modifiers"][3]["data"].clear(), "channels[0].samples[1].modifiers[3].data", "empty"),
    (lambda s: s["observations"][0]["data"].pop(), "observations[0].data", "has 1 entries"),
    (
        lambda s: s["measurements"][0]["config"]["parameters"][0].update(bounds=[[1.5, 0.5]]),
        "measurements[0].config.parameters[0].bounds[0]",
        "bounds cross",
    ),
    (lambda s: s["measurements"][0]["config"].pop("poi"), "measurements[0].config", "missing field `poi`"),
]


@pytest.mark.parametrize(("change", "path", "part"), BROKEN)
def test_broken_workspaces_are_named(change, path, part):
    with pytest.raises(wz.WorkspaceError) as raised:
        wz.histfactory.load(broken(change))
    assert raised.value.path == path
    assert part in str(raised.value)


def test_broken_models_are_named(tmp_path):
    ws = wz.histfactory.workload("complex-8p")
    with pytest.raises(wz.UnknownNameError, match="`nu` is not in the model"):
        ws.model(poi="nu")
    with pytest.raises(wz.UnknownNameError, match="no measurement named"):
        ws.model("other")
    assert ws.model(poi=None).config.poi_index is None
    missing = broken(lambda s: s["observations"].pop(0))
    with pytest.raises(wz.WorkspaceError, match="no observation for channel `SR`"):
        load = wz.histfactory.load(missing)
        load.data(load.model())
    negative = wz.histfactory.load(broken(lambda s: s["observations"][0]["data"].__setitem__(1, -2.0)))
    with pytest.raises(wz.WorkspaceError, match="cannot be negative"):
        negative.data(negative.model())
    clash = broken(lambda s: sample(s)["modifiers"].append({"name": "jes", "type": "normfactor", "data": None}))
    with pytest.raises(wz.ModelError, match="`jes` names a normfactor and a normsys"):
        wz.histfactory.load(clash).model()
    with pytest.raises(wz.FileError, match="cannot read"):
        wz.histfactory.load(tmp_path / "nothing.json")
    cut = tmp_path / "cut.json"
    cut.write_text(ws.to_json()[:200])
    with pytest.raises(wz.WorkspaceError, match="line 1, column 200"):
        wz.histfactory.load(cut)


def test_broken_arrays_are_named():
    ws = wz.histfactory.workload("simple")
    model = ws.model()
    data = ws.data(model)
    with pytest.raises(wz.ShapeError, match=r"the model takes \[3\]"):
        model.logpdf([1.0, 1.0], data)
    with pytest.raises(wz.ModelError, match="`parameters` holds NaN at position 1"):
        model.logpdf([1.0, float("nan"), 1.0], data)
    with pytest.raises(wz.ModelError, match="count cannot be negative"):
        model.logpdf([1.0, 1.0, 1.0], [-1.0, 1.0, 1.0, 1.0])
    with pytest.raises(wz.NegativeRateError, match="channel `singlechannel`, bin 0 is -50.*sample `background`"):
        model.logpdf([0.0, -1.0, 1.0], data)
    with pytest.raises(wz.NegativeRateError, match="sample `signal`"):
        model.logpdf([[1.0, 1.0, 1.0], [-11.0, 1.0, 1.0]], data)

"""What a reader of the numbers has to know, as ``CODE: words``, in the result and under its figures.

Each is a fact of the data or of what was asked, none is a matter of taste, and none changes a number.
"""

from __future__ import annotations

import xarray as xr

__all__ = ["CAUTIONS", "cautions"]

CAUTIONS = {
    "few_units": "there are too few traces for an interval; tokens of one video are no independent draws",
    "undefined": "representations of which nothing can be said",
    "biased_few_tokens": "the biased estimator is large for representations that have nothing in common",
    "one_token": "one token has more than half of the variance, and decides alone",
    "one_channel": "one channel has more than half of the variance, and decides alone",
    "mean_ratio": "the mean is more than three times the spread; implementations that do not centre fail here",
    "not_known": "Gram matrices do not tell mean and channels",
    "not_debiased": "this measure is not debiased, and has no chance level of 0",
}
"""By code."""
_HALF, _FAR, _FEW = 0.5, 3.0, 5


def cautions(result: xr.Dataset) -> list[str]:
    """All that apply to a result.

    Parameters
    ----------
    result : xarray.Dataset

    Returns
    -------
    list of str

    Examples
    --------
    >>> sorted(CAUTIONS)[:2]
    ['biased_few_tokens', 'few_units']
    """
    found = [_few_units(result), _undefined(result), *_of_estimator(result), *_of_variance(result)]
    if result.attrs["source"] != "raw":
        found.append(f"not_known: {CAUTIONS['not_known']}")
    return [words for words in found if words]


def _few_units(result: xr.Dataset) -> str:
    if result.attrs["resamples"]:
        return ""
    return f"few_units: {CAUTIONS['few_units']}; {result.attrs['units']}: {result.attrs['unit_count']}"


def _undefined(result: xr.Dataset) -> str:
    reasons = [str(reason) for reason in result["reason"].values.ravel() if reason]
    if not reasons:
        return ""
    kinds = ", ".join(dict.fromkeys(reason.split(":")[0] for reason in reasons))
    return f"undefined: {CAUTIONS['undefined']}; {len(reasons)} of {result['reason'].size} ({kinds})"


def _of_estimator(result: xr.Dataset) -> list[str]:
    if result.attrs["measure"] == "procrustes":
        return [f"not_debiased: {CAUTIONS['not_debiased']}"]
    tokens, channels = result.attrs["minibatch"] or result.attrs["tokens_used"], result.attrs["channels"]
    if result.attrs["estimator"] == "biased" and (tokens < _FEW * channels or not channels):
        got = f"{tokens} tokens in a Gram matrix, {channels or 'an unknown number of'} channels"
        return [f"biased_few_tokens: {CAUTIONS['biased_few_tokens']}; {got}"]
    return []


def _of_variance(result: xr.Dataset) -> list[str]:
    found = []
    for code, name, limit in (
        ("one_token", "top_token", _HALF),
        ("one_channel", "top_channel", _HALF),
        ("mean_ratio", "mean_ratio", _FAR),
    ):
        values = result[name]
        count = int((values > limit).sum())
        if count:
            top = float(values.max())
            found.append(f"{code}: {CAUTIONS[code]}; in {count} of {values.size}, at most {top:.3g}")
    return found

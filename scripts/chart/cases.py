"""Combinations of the chart's switches (switches.yaml), and their values.

Every position of every switch meets every position of every other two at least once: only faults that need four switches
can hide.
"""

import copy
import itertools
import pathlib
import random

import yaml

_DATA = yaml.safe_load(pathlib.Path(__file__).with_name("switches.yaml").read_text())
REGISTRATION, OUTSIDE, BASE, SWITCHES = (_DATA[key] for key in ("registration", "outside", "base", "switches"))


def overlay(base, values):
    """`values` over `base`, as Helm merges them."""
    if not isinstance(base, dict) or not isinstance(values, dict):
        return copy.deepcopy(values)
    return {**base, **{key: overlay(base.get(key), value) for key, value in values.items()}}


def values(case):
    """The values of a case: a position for each switch."""
    result = copy.deepcopy(BASE)
    for switch, position in case.items():
        result = overlay(result, SWITCHES[switch][position])
    # The chart refuses tokens that no room list needs.
    tokens = result.get("webhookTokens", {}).get("values", {})
    for name in tokens.keys() - {room_list["name"] for room_list in result["config"]["room_lists"]}:
        del tokens[name]
    return result


def good(**more):
    """The fewest values that the chart accepts, and more."""
    return overlay(values({"registration": "value", "database": "url", "tokens": "values"}), more)


def defaults(**positions):
    """A case with each switch in its first position, but for those given."""
    return {**{switch: next(iter(of)) for switch, of in SWITCHES.items()}, **positions}


def combinations(strength=3):
    """Cases such that every `strength` positions of different switches meet: greedy, and the same every time."""
    chance = random.Random(1)
    names = list(SWITCHES)
    missing = {tuple(zip(chosen, positions)) for chosen in itertools.combinations(names, strength)
               for positions in itertools.product(*(SWITCHES[name] for name in chosen))}

    def covered(case):
        return missing.intersection(itertools.combinations([(name, case[name]) for name in names if name in case], strength))

    found = [defaults()]
    missing -= covered(found[0])
    while missing:
        candidates = []
        for _ in range(12):
            case = dict(chance.choice(sorted(missing)) if len(missing) < 4000 else [])
            rest = [name for name in names if name not in case]
            chance.shuffle(rest)
            for name in rest:
                case[name] = max(SWITCHES[name], key=lambda position: (len(covered({**case, name: position})), chance.random()))
            candidates.append({name: case[name] for name in names})
        best = max(candidates, key=lambda case: len(covered(case)))
        missing -= covered(best)
        found.append(best)
    return found

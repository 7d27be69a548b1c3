#!/usr/bin/env python3
"""Makes crates/aisbreaker-services/src/prices.tsv out of two public price lists.

    pip download --no-deps --only-binary :all: --dest WHEELS genai-prices litellm
    benches/prices/make_prices.py WHEELS/genai_prices-*.whl WHEELS/litellm-*.whl

Prices come from genai-prices. From LiteLLM come the limits of tokens, the rates that genai-prices does not have (where
the two lists agree on input and output), and the prices of providers that genai-prices does not have. The program only
reads data out of the wheels: nothing of them is installed, imported or run. LiteLLM must not be installed at all: one
of its releases was compromised.

A report for a human goes to standard output: where the lists differ, what is left out, and what is rounded towards the
dearer side. The same wheels and the same --date make the same file, byte for byte; --check compares with the committed
file, with the date of that, and writes nothing.

Rules, each on the side that never costs less than the invoice:
- A price that depends on the time of day, or that is to rise within 90 days, is the dearer one.
- Usage does not say how many tokens were images or video, so their rates raise the rate of all input or output.
- A row with a price in other units than tokens and requests (hours, pages, characters) is left out. Tools of the
  provider, such as web searches, are not priced at all.
"""

import argparse
import ast
import datetime
import hashlib
import json
import pathlib
import re
import sys
import zipfile
from decimal import Decimal

TARGET = pathlib.Path(__file__).parents[2] / "crates/aisbreaker-services/src/prices.tsv"
MAX_BYTES = 64 * 1024
COLUMNS = ["provider", "models", "standard", "priority", "flex", "batch", "max_output", "context", "per_request"]
TIERS = ["priority", "flex", "batch"]
# The days for which a table is used without a warning.
LIFETIME = datetime.timedelta(days=90)

# Our id, the id in genai-prices (None: prices are LiteLLM's), and the prefix of names and the provider in LiteLLM.
PROVIDERS = [
    ("anthropic.com", "anthropic", "", ["anthropic"]),
    ("cerebras.ai", "cerebras", "cerebras/", ["cerebras"]),
    ("cohere.com", "cohere", "", ["cohere", "cohere_chat"]),
    ("deepseek.com", "deepseek", "deepseek/", ["deepseek"]),
    ("fireworks.ai", "fireworks", "fireworks_ai/", ["fireworks_ai", "fireworks_ai-embedding-models"]),
    ("gemini.google.com", "google", "gemini/", ["gemini"]),
    ("groq.com", "groq", "groq/", ["groq"]),
    ("mistral.ai", "mistral", "mistral/", ["mistral"]),
    ("moonshot.ai", "moonshotai", "moonshot/", ["moonshot"]),
    ("openai.com", "openai", "", ["openai", "text-completion-openai"]),
    ("openrouter.ai", "openrouter", "openrouter/", ["openrouter"]),
    ("perplexity.ai", "perplexity", "perplexity/", ["perplexity"]),
    ("together.ai", "together", "together_ai/", ["together_ai"]),
    ("x.ai", "x-ai", "xai/", ["xai"]),
    ("z.ai", "zai", "zai/", ["zai"]),
    ("alibabacloud.com", None, "dashscope/", ["dashscope"]),
    ("deepinfra.com", None, "deepinfra/", ["deepinfra"]),
    ("sambanova.ai", None, "sambanova/", ["sambanova"]),
]

# Rates in the order in which they are written, by their names in genai-prices and in LiteLLM.
RATES = [
    ("input_mtok", "input_cost_per_token"),
    ("output_mtok", "output_cost_per_token"),
    ("cache_read_mtok", "cache_read_input_token_cost"),
    ("cache_write_mtok", "cache_creation_input_token_cost"),
    ("cache_write_1h_mtok", "cache_creation_input_token_cost_above_1hr"),
    ("input_audio_mtok", "input_cost_per_audio_token"),
    ("output_audio_mtok", "output_cost_per_audio_token"),
]
NAMES = [name for name, _ in RATES]
# Rates that usage cannot tell from the first one.
FOLDED = {
    "input_mtok": ["input_image_mtok", "input_video_mtok", "input_text_mtok"],
    "output_mtok": ["output_image_mtok", "output_video_mtok", "output_reasoning_mtok", "output_text_mtok"],
}
# Dropped, since the rates of what is not cached are dearer, or since they belong to tools.
IGNORED = {
    "cache_audio_read_mtok",
    "cache_image_read_mtok",
    "output_citation_mtok",
    "web_searches_kcount",
    "storage_searches_kcount",
}
# A provider's own kinds of dearer and cheaper service, by the tier they count as.
VARIANTS = {
    ("service_tier", "priority"): "priority",
    ("speed", "fast"): "priority",
    ("service_tier", "flex"): "flex",
    ("processing", "batch"): "batch",
}
DATE = re.compile(r"[-@](20\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])|20\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01]))$")


class Report:
    def __init__(self):
        self.parts = {}

    def add(self, part, line):
        self.parts.setdefault(part, []).append(line)

    def show(self):
        for part, lines in self.parts.items():
            print(f"\n## {part}: {len(lines)}")
            for line in lines:
                print(f"- {line}")


# Reading the wheels.


def constructed(node):
    """Returns what an expression of genai_prices/data.py makes: plain data, with the class under `is`."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List):
        return [constructed(entry) for entry in node.elts]
    if isinstance(node, ast.Dict):
        return {constructed(key): constructed(value) for key, value in zip(node.keys, node.values)}
    if isinstance(node, ast.Attribute):
        return ast.unparse(node)
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func)
        if name == "Decimal":
            return Decimal(constructed(node.args[0]))
        if name == "datetime.date":
            return datetime.date(*map(constructed, node.args))
        members = {member.arg.rstrip("_"): constructed(member.value) for member in node.keywords}
        return {"is": name, **members}
    raise SystemExit(f"genai_prices/data.py has an expression that is not known: {ast.unparse(node)[:100]}")


def genai_providers(wheel):
    with zipfile.ZipFile(wheel) as files:
        tree = ast.parse(files.read("genai_prices/data.py"))
    for statement in tree.body:
        if isinstance(statement, ast.AnnAssign) and statement.target.id == "providers":
            return {provider["id"]: provider for provider in constructed(statement.value)}
    raise SystemExit("genai_prices/data.py has no providers")


def litellm_models(wheel):
    with zipfile.ZipFile(wheel) as files:
        names = [name for name in files.namelist() if re.fullmatch(r"litellm/model_prices_\w+\.json", name)]
        if len(names) != 1:
            raise SystemExit(f"{wheel} has not one list of prices but {names}")
        # Numbers as they are written: 1e-06 is exact as a decimal.
        return json.loads(files.read(names[0]), parse_float=Decimal)


# Prices: {"base": {rate: dollars per million}, "above": (tokens, {…}) or None}.


def price_of(model_price):
    """Returns a ModelPrice of genai-prices as base and tier, or a reason why it cannot be one."""
    base, above, starts = {}, {}, set()
    for name, value in model_price.items():
        if name == "is" or name in IGNORED or value is None:
            continue
        known = name == "requests_kcount" or name in NAMES or any(name in folded for folded in FOLDED.values())
        if not known:
            return f"has a price in {name}"
        if isinstance(value, dict):
            base[name] = value["base"]
            if len(value["tiers"]) != 1:
                return f"has {len(value['tiers'])} tiers of {name}"
            starts.add(value["tiers"][0]["start"])
            above[name] = value["tiers"][0]["price"]
        else:
            base[name] = above[name] = value
    if len(starts) > 1:
        return "has tiers that begin at different counts"
    return {"base": base, "above": (starts.pop(), above) if starts else None}


def is_active(constraint, day):
    return constraint is None or constraint["is"] != "StartDateConstraint" or constraint["start_date"] <= day


def prices_that_apply(entries, day):
    """Returns the prices of a list of conditional ones that apply at some time from this day on for 90 days."""
    applying = []
    for entry in entries:
        constraint = entry.get("constraint")
        kind = constraint and constraint["is"]
        if kind == "StartDateConstraint" and constraint["start_date"] > day + LIFETIME:
            continue
        if kind != "TimeOfDateConstraint" and is_active(constraint, day):
            # It replaces what was before.
            applying = []
        applying.append(entry["prices"])
    return applying


def dearest(prices):
    """Returns the dearest of several prices, rate by rate."""
    merged = {"base": {}, "above": None}
    starts = [price["above"][0] for price in prices if price["above"]]
    for price in prices:
        for name in price["base"]:
            missing = [other for other in prices if name not in other["base"]]
            if missing and name in ("cache_read_mtok",):
                # One of them has no rebate.
                continue
            merged["base"][name] = max(other["base"].get(name, Decimal(0)) for other in prices)
    if starts:
        rates = {}
        for name in merged["base"]:
            rates[name] = max((price["above"][1] if price["above"] else price["base"]).get(name, Decimal(0)) for price in prices)
        merged["above"] = (min(starts), rates)
    return merged


def litellm_price(entry, suffix=""):
    """Returns the prices of an entry of LiteLLM as base and tier, or None if it has none in tokens."""
    base, above, tier = {}, {}, None
    for name, cost in list(RATES) + [
        ("input_image_mtok", "input_cost_per_image_token"),
        ("output_image_mtok", "output_cost_per_image_token"),
        ("output_reasoning_mtok", "output_cost_per_reasoning_token"),
    ]:
        value = entry.get(cost + suffix)
        if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
            base[name] = Decimal(value) * 1000000
        for key, value in entry.items():
            match = re.fullmatch(re.escape(cost) + r"_above_(\d+)k_tokens" + suffix, key)
            if match and isinstance(value, (int, Decimal)):
                start = int(match[1]) * 1000
                if tier not in (None, start):
                    return None
                tier = start
                above[name] = Decimal(value) * 1000000
    if "input_mtok" not in base or entry.get("tiered_pricing"):
        return None
    if tier is None:
        return {"base": base, "above": None}
    return {"base": base, "above": (tier, {**base, **above})}


def folded(price, report, row):
    """Raises the rates of input and output to those that usage cannot tell from them."""
    for rates in [price["base"]] + ([price["above"][1]] if price["above"] else []):
        for name, others in FOLDED.items():
            for other in others:
                value = rates.pop(other, None)
                if value is not None and value > rates.get(name, Decimal(0)):
                    report.add("dearer than text, since usage does not tell them apart", f"{row}: {other} {value}")
                    rates[name] = value
    return price


def writing(rates, report, row):
    """Adds the price of reading to that of writing to a cache where the latter comes on top of it: what is written costs
    nowhere less than what is read."""
    for name in ("cache_write_mtok", "cache_write_1h_mtok"):
        if name in rates and rates[name] < rates.get("input_mtok", Decimal(0)):
            report.add("the price of writing to a cache comes on top", f"{row}: {name} {rates[name]}")
            rates[name] += rates["input_mtok"]


def rates_text(rates):
    values = [rates.get(name) for name in NAMES]
    while values and values[-1] is None:
        values.pop()
    return ",".join("" if value is None else number(value) for value in values)


def price_text(price):
    text = rates_text(price["base"])
    if price["above"]:
        tokens, rates = price["above"]
        text += f" {tokens}:{rates_text(rates)}"
    return text


def number(value):
    """Returns dollars with at most nine decimals, rounded up."""
    rounded = value.quantize(Decimal("1.000000000"), rounding="ROUND_UP")
    text = f"{rounded:f}".rstrip("0").rstrip(".")
    return text or "0"


def tier_text(price, tier):
    """Returns the prices of a tier of service, as a factor if it is the same for all rates."""
    factors = set()
    pairs = [(price["base"], tier["base"])]
    if bool(price["above"]) != bool(tier["above"]):
        return price_text(tier)
    if price["above"]:
        pairs.append((price["above"][1], tier["above"][1]))
    for standard, rates in pairs:
        for name in NAMES:
            if name in standard or name in rates:
                if not standard.get(name) or name not in rates:
                    return price_text(tier)
                factors.add(rates[name] / standard[name])
    factor = factors.pop()
    if factors or number(factor) != f"{factor.normalize():f}" or len(number(factor)) > 5:
        return price_text(tier)
    return f"x{number(factor)}"


# Names.


def patterns(clause):
    """Returns the names and prefixes (`name*`) that a clause of genai-prices matches, as our lookup has them."""
    kind = clause["is"]
    if kind == "ClauseOr":
        return [pattern for part in clause["or"] for pattern in patterns(part)]
    if kind == "ClauseAnd":
        # All that occur narrow a prefix by a regular expression.
        return patterns(clause["and"][0])
    if kind == "ClauseEquals":
        return [clause["equals"].lower()]
    if kind in ("ClauseStartsWith", "ClauseContains"):
        return [next(clause[key] for key in ("starts_with", "contains") if key in clause).lower() + "*"]
    if kind == "ClauseEndsWith":
        return [clause["ends_with"].lower()]
    # A regular expression for a name and a date, or a digit, is that name.
    text = re.sub(r"\\d\{8\}|\\d\{4\}-\\d\{2\}-\\d\{2\}", "DATE", clause["regex"].strip("^$"))
    text = re.sub(r"[-@]DATE|\[-@\]DATE", "", text)
    text = re.sub(r"\\d$", "*", text).replace("\\", "")
    return [text] if re.fullmatch(r"[\w.:/@-]+\*?", text) else []


def is_served(ours, name):
    """Returns whether a name of the lists can be one of this API."""
    if ours == "gemini.google.com":
        # Another API of Google serves these.
        return not name.startswith(("claude", "anthropic/"))
    if ours == "openrouter.ai":
        # Those without a vendor, and these variants, are former ids.
        return "/" in name and not name.endswith((":beta", ":batch"))
    return True


def matches(clause, name):
    kind = clause["is"]
    if kind == "ClauseOr":
        return any(matches(part, name) for part in clause["or"])
    if kind == "ClauseAnd":
        return all(matches(part, name) for part in clause["and"])
    if kind == "ClauseEquals":
        return name == clause["equals"].lower()
    if kind == "ClauseStartsWith":
        return name.startswith(clause["starts_with"].lower())
    if kind == "ClauseContains":
        return clause["contains"].lower() in name
    if kind == "ClauseEndsWith":
        return name.endswith(clause["ends_with"].lower())
    return re.search(clause["regex"], name) is not None


def lookup(index, name):
    """The lookup of the server: by name, by name without its date, by the longest prefix."""
    if name in index:
        return index[name]
    undated = DATE.sub("", name)
    if undated in index:
        return index[undated]
    prefixes = [pattern for pattern in index if pattern.endswith("*") and name.startswith(pattern[:-1])]
    return index[max(prefixes, key=len)] if prefixes else None


# Rows.


def litellm_of(provider, litellm):
    """Returns the entries of a provider by name, in lower case."""
    _, _, prefix, kinds = provider
    found = {}
    for key, entry in litellm.items():
        if entry.get("litellm_provider") in kinds:
            name = key.removeprefix(prefix) if prefix else key
            found.setdefault(name.lower(), entry)
    return found


def limits(entries, context):
    """Returns the largest output and context of several entries."""
    outputs = [entry.get("max_output_tokens") or 0 for entry in entries]
    inputs = [entry.get("max_input_tokens") or 0 for entry in entries] + [context or 0]
    whole = lambda values: max((int(value) for value in values if str(value).isdigit()), default=0)
    return whole(outputs), whole(inputs)


def genai_rows(provider, genai, litellm, day, report):
    ours, theirs, _, _ = provider
    others = litellm_of(provider, litellm)
    models = genai[theirs]["models"]
    index, prepared = {}, []
    for model in models:
        if not is_served(ours, model["id"]):
            continue
        where = f"{ours} {model['id']}"
        prices = model["prices"]
        entries = prices if isinstance(prices, list) else [{"prices": prices}]
        found = [price_of(price) for price in prices_that_apply(entries, day)]
        problem = next((price for price in found if isinstance(price, str)), None)
        if problem is None and not any("input_mtok" in price["base"] or "requests_kcount" in price["base"] for price in found):
            problem = "has no price"
        if problem:
            report.add("left out", f"{where} {problem}")
            continue
        if len(found) > 1:
            report.add("the dearer price holds", f"{where}: {', '.join(price_text(price) for price in found)}")
        row = {"where": where, "price": dearest(found), "models": [], "model": model, "tiers": {}}
        row["rises"] = len(found) > 1
        for pattern in patterns(model["match"]):
            if pattern not in index and is_served(ours, pattern):
                index[pattern] = row
                row["models"].append(pattern)
        prepared.append(row)
    for row in prepared:
        add_variants(row, day, report)
        matched = [(name, entry) for name, entry in others.items() if lookup(index, name) is row]
        row["limits"] = limits([entry for _, entry in matched], row["model"].get("context_window"))
        fill_gaps(row, matched, report)
    check_names(models, index, others, report, ours)
    return [finished(row, ours, report) for row in prepared if row["models"]]


def add_variants(row, day, report):
    """Adds the prices of the tiers of service: the dearest of those that apply within 90 days."""
    found, rising = {}, set()
    for variant in row["model"].get("price_variants") or []:
        ((kind, value),) = variant["when"].items()
        tier = VARIANTS.get((kind, value))
        constraint = variant.get("constraint")
        price = price_of(variant["prices"])
        if tier is None or not isinstance(price, dict) or not price["base"] or not is_active(constraint, day + LIFETIME):
            continue
        if not is_active(constraint, day):
            rising.add(tier)
        found.setdefault(tier, []).append(price)
    for tier, prices in found.items():
        if row["rises"] and tier not in rising:
            # Whether it rises as well is not known.
            continue
        row["tiers"][tier] = dearest(prices)


def completed(standard, tier, name):
    """Returns the prices of a tier with all rates. One that it does not name is the standard one, or dearer by as much as
    input is."""
    dearer = Decimal(1)
    if name == "priority" and standard["base"].get("input_mtok"):
        dearer = tier["base"].get("input_mtok", Decimal(0)) / standard["base"]["input_mtok"]
    base = {rate: value * max(dearer, Decimal(1)) for rate, value in standard["base"].items()}
    above = standard["above"]
    if above:
        tokens, rates = above
        if tier["above"]:
            others = {rate: value * max(dearer, Decimal(1)) for rate, value in rates.items()}
            rates = {**others, **tier["above"][1]}
        else:
            rates = {rate: max(value, tier["base"].get(rate, value)) for rate, value in rates.items()}
        above = (tokens, rates)
    return {"base": {**base, **tier["base"]}, "above": above}


def fill_gaps(row, matched, report):
    """Adds rates that only LiteLLM has, where both agree on input and output, and reports where they do not."""
    price = row["price"]
    for name, entry in sorted(matched):
        other = litellm_price(entry)
        if other is None:
            continue
        same = all(other["base"].get(key, 0) == price["base"].get(key, 0) for key in ("input_mtok", "output_mtok"))
        same_tier = not (other["above"] and price["above"]) or other["above"][0] == price["above"][0]
        if not same or not same_tier:
            both = f"{price_text(price)} here, {price_text(other)} in LiteLLM"
            report.add("the lists differ", f"{row['where']} ({name}): {both}")
            continue
        for key, value in other["base"].items():
            # There, a zero is often what is not known. Where nothing is written, it is true.
            is_write = key.startswith("cache_write") and value < price["base"]["input_mtok"]
            if key not in price["base"] and not is_write and (value or key == "output_mtok"):
                price["base"][key] = value
                if price["above"]:
                    above = (other["above"] or (0, {}))[1].get(key)
                    if above is None:
                        above = max(value, price["above"][1]["input_mtok"]) if key != "cache_read_mtok" else None
                    if above is not None:
                        price["above"][1][key] = above
        their = litellm_price(entry, "_priority")
        if "priority" not in row["tiers"] and their and "output_mtok" in their["base"]:
            row["tiers"]["priority"] = their


def check_names(models, index, others, report, ours):
    """Reports names that genai-prices gives to another row than the lookup of the server does."""
    names = {pattern.rstrip("*") for pattern in index} | set(others)
    for name in sorted(names):
        first = next((model for model in models if matches(model["match"], name)), None)
        row = lookup(index, name)
        if first and row and row["model"] is not first:
            report.add("names that the lists match differently", f"{ours} {name}: {row['model']['id']} here, {first['id']} there")


def litellm_rows(provider, litellm, report):
    ours = provider[0]
    rows = []
    for name, entry in sorted(litellm_of(provider, litellm).items()):
        price = litellm_price(entry)
        if price is None or price["base"]["input_mtok"] == 0:
            report.add("left out", f"{ours} {name} has no price in tokens")
            continue
        for rates in [price["base"]] + ([price["above"][1]] if price["above"] else []):
            for key in [key for key, value in rates.items() if not value and key != "output_mtok"]:
                del rates[key]
        row = {"where": f"{ours} {name}", "price": price, "models": [name], "tiers": {}}
        row["limits"] = limits([entry], None)
        rows.append(finished(row, ours, report))
    return rows


def finished(row, ours, report):
    """Returns the cells of a row."""
    price = row["price"]
    per_request = price["base"].pop("requests_kcount", None)
    if price["above"]:
        price["above"][1].pop("requests_kcount", None)
    tiers = {tier: completed(price, rates, tier) for tier, rates in row["tiers"].items()}
    folded(price, report, row["where"])
    for rates in [price["base"]] + ([price["above"][1]] if price["above"] else []):
        writing(rates, report, row["where"])
    tiers = {tier: tier_text(price, folded(rates, Report(), "")) for tier, rates in tiers.items()}
    if ours == "anthropic.com":
        # What a commitment to capacity costs is agreed on; it is never more than the list price.
        tiers.setdefault("priority", "x1")
    max_output, context = row["limits"]
    return (
        ours,
        " ".join(sorted(row["models"])),
        price_text(price),
        *(tiers.get(tier, "") for tier in TIERS),
        str(max_output or ""),
        str(context or ""),
        number(per_request / 1000) if per_request is not None else "",
    )


def merged_rows(rows):
    """Joins the rows of a provider that differ in nothing but their names, and drops names that the lookup of the server
    does not need. The first cell is empty if it is as in the row before."""
    groups = {}
    for row in rows:
        groups.setdefault(row[0], {}).setdefault(row[2:], set()).update(row[1].split(" "))
    merged = []
    for provider in sorted(groups):
        index = {name: price for price, names in groups[provider].items() for name in names}
        for name in sorted(index, key=lambda name: (-len(name), name)):
            price = index.pop(name)
            if lookup(index, name.rstrip("*")) != price:
                index[name] = price
        names = {}
        for name, price in sorted(index.items()):
            names.setdefault(price, []).append(name)
        for position, (price, of_price) in enumerate(sorted(names.items(), key=lambda item: item[1])):
            merged.append((provider if position == 0 else "", " ".join(of_price)) + price)
    return merged


def table(arguments, day, report):
    genai = genai_providers(arguments.genai)
    litellm = litellm_models(arguments.litellm)
    rows = []
    for provider in PROVIDERS:
        if provider[1]:
            rows += genai_rows(provider, genai, litellm, day, report)
        else:
            rows += litellm_rows(provider, litellm, report)
    lines = [
        f"# {day}; prices: genai-prices {version(arguments.genai)} (PyPI, MIT licence, Copyright Pydantic Services); "
        f"limits and gaps: LiteLLM {version(arguments.litellm)} (PyPI, MIT licence, Copyright Berri AI), "
        f"SHA-256 of the wheels: {digest(arguments.genai)}, {digest(arguments.litellm)}; made by benches/prices",
        "\t".join(COLUMNS),
    ]
    lines += ["\t".join(row).rstrip("\t") for row in merged_rows(rows)]
    return "\n".join(lines) + "\n"


def version(wheel):
    return pathlib.Path(wheel).name.split("-")[1]


def digest(wheel):
    return hashlib.sha256(pathlib.Path(wheel).read_bytes()).hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("genai", help="wheel of genai-prices")
    parser.add_argument("litellm", help="wheel of litellm, of which one file is read")
    parser.add_argument("--date", type=datetime.date.fromisoformat, help="day whose prices hold; today if not given")
    parser.add_argument("--check", action="store_true", help="only compare with the committed file")
    arguments = parser.parse_args()
    day = arguments.date or datetime.datetime.now(datetime.timezone.utc).date()
    if arguments.check:
        day = datetime.date.fromisoformat(TARGET.read_text().split(";")[0].removeprefix("# "))
    report = Report()
    text = table(arguments, day, report)
    report.show()
    size = len(text.encode())
    print(f"\n{text.count(chr(10)) - 2} rows, {size} bytes")
    if size > MAX_BYTES:
        sys.exit(f"the table is larger than {MAX_BYTES} bytes")
    if arguments.check:
        if text != TARGET.read_text():
            sys.exit(f"{TARGET.name} differs")
    else:
        TARGET.write_text(text)


if __name__ == "__main__":
    main()

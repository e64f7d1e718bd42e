"""How long one prediction with its reasons takes, the packaged model loaded: python tests/bench_predict.py

Prints medians of interleaved rounds, for this machine; beside them the model's own bare call, for a ratio that travels."""
import statistics
import time

from kickstarter_predictor.predict import load_predictor, predict, to_campaign, to_columns, vectors

CAMPAIGN = {"name": "Fog & Lanterns: a cooperative card game", "blurb": "Guide your ship home through the fog: a card game for two to four players, ready to print.", "goal": 12000, "currency": "USD",
            "country": "US", "category": "Tabletop Games", "parent": "Games", "launched_at": "2024-03-05T16:00", "created_at": "2023-12-20", "days": 30, "video": True}


def median(call, rounds=300):
    spent = []
    for i in range(rounds):
        start = time.perf_counter()
        call(i)
        spent.append(1000 * (time.perf_counter() - start))
    return statistics.median(spent)


if __name__ == "__main__":
    predictor = load_predictor("packaged")
    x = vectors(to_columns([to_campaign(CAMPAIGN)], predictor.about), predictor)
    whole, plain, bare = (median(c) for c in (lambda i: predict(CAMPAIGN | {"goal": 1000 + i}, predictor), lambda i: predict(CAMPAIGN | {"goal": 1000 + i}, predictor, with_reasons=False), lambda i: predictor.model(x)))
    print(f"p50 of 300: {whole:.2f} ms with reasons, {plain:.2f} ms without, {bare:.2f} ms the trees alone ({whole / bare:.1f} times)")

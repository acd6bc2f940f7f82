"""The parts of scripts/bench that only compute: python3 -m unittest discover tests/tools."""

import array
import os
import random
import re
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "scripts", "lib"))

from bench import counts, curves, figures, load, plan, plots, rates, report, space  # noqa: E402
from bench.client import BenchError, key_of, parse_info, value_of  # noqa: E402

HEADER = ('"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms",'
          '"max_latency_ms"')


def cell(per_second, cpu_us=1.0):
    return {"per_second": per_second, "cpu_us": cpu_us, "p50_ms": 0.5, "p99_ms": 1.25}


class Percentiles(unittest.TestCase):
    def test_nearest_rank(self):
        values = list(range(1, 1001))
        for share, wanted in ((50, 500), (99, 990), (99.9, 999), (100, 1000), (0, 1)):
            self.assertEqual(figures.percentile(values, share), wanted)

    def test_few_values(self):
        self.assertEqual(figures.percentile([7], 99.9), 7)
        self.assertEqual(figures.percentile([1, 2], 50), 1)
        with self.assertRaises(ValueError):
            figures.percentile([], 50)

    def test_summary_is_in_microseconds(self):
        self.assertEqual(figures.summary([3000, 1000, 2000]),
                         {"p50_us": 2.0, "p99_us": 3.0, "p999_us": 3.0, "max_us": 3.0})


class Ratios(unittest.TestCase):
    CELLS = {"Redis": cell(100.0, 2.0), "Valkey": cell(200.0, 3.0), "ours": cell(300.0, 1.0)}

    def test_against_the_better_peer(self):
        self.assertEqual(figures.ratio(self.CELLS, "ours", ["Redis", "Valkey"], "per_second"), 1.5)
        self.assertEqual(figures.ratio(self.CELLS, "ours", ["Redis", "Valkey"], "cpu_us", most=False), 0.5)

    def test_what_is_missing(self):
        self.assertEqual(figures.better(self.CELLS, ["Other", "Redis"], "per_second"), "Redis")
        self.assertIsNone(figures.better(self.CELLS, ["Other"], "per_second"))
        self.assertIsNone(figures.ratio(self.CELLS, "ours", [], "per_second"))
        self.assertIsNone(figures.ratio(self.CELLS, "nobody", ["Redis"], "per_second"))
        self.assertIsNone(figures.ratio({"ours": cell(1), "Redis": cell(0)}, "ours", ["Redis"], "per_second"))

    def test_half_of_the_better_peer(self):
        rows = [{"test": "GET", "pipeline": 1, "value_bytes": 64, "cells": self.CELLS},
                {"test": "GET", "pipeline": 1, "value_bytes": 1024, "cells": {"Redis": cell(10)}}]
        self.assertEqual(figures.half_rate(rows, ["Redis", "Valkey"], "GET"), 100)
        self.assertIsNone(figures.half_rate(rows, ["Redis"], "SET"))


class Slices(unittest.TestCase):
    def test_medians_but_all_cpu_time(self):
        slices = [{"per_second": rate, "p50_ms": 1, "p99_ms": rate, "commands": 100, "cpu_seconds": seconds}
                  for rate, seconds in ((10, 0.0), (30, 0.01), (20, 0.02))]
        self.assertEqual(figures.merge_slices(slices),
                         {"per_second": 20, "p50_ms": 1, "p99_ms": 20, "commands": 300, "cpu_us": 100.0})

    def test_turns_at_a_fixed_rate(self):
        turns = [{"p50_us": value, "p99_us": value, "p999_us": value, "late_p999_us": 1, "max_us": value, "commands": 5,
                  "overwrites": 2, "overwrites_left_out": 0} for value in (30, 90, 20)]
        self.assertEqual(figures.merge_turns(turns), {
            "p50_us": 30, "p99_us": 30, "p999_us": 30, "late_p999_us": 1, "max_us": 90, "commands": 15,
            "overwrites": 6, "overwrites_left_out": 0})

    def test_requests_are_whole_pipelines_of_all_clients(self):
        self.assertEqual(figures.requests_for(10_000, 1, 16, 50), 9_600)
        self.assertEqual(figures.requests_for(1, 0.1, 64, 50), 3_200)


class Parsing(unittest.TestCase):
    def test_redis_benchmark(self):
        row = '"SET key:__rand_int__ a,b","91636.37","6.585","3.280","5.999","10.111","10.223","10.9"'
        self.assertEqual(figures.parse_benchmark(f"{HEADER}\n{row}\n"),
                         {"per_second": 91636.37, "p50_ms": 5.999, "p99_ms": 10.223})

    def test_redis_benchmark_without_figures(self):
        row = '"GET","1","1","1","1","1","1","1"'
        for text in ("", HEADER, row, f"{HEADER}\n{row}\n{row}"):
            with self.assertRaises(ValueError):
                figures.parse_benchmark(text)

    def test_fixed_rate(self):
        out = array.array("Q", [2000, 10, 1000, 30, 40, 5]).tobytes()
        parsed = load.parse_fixed_rate(out)
        self.assertEqual((parsed["commands"], parsed["p50_us"], parsed["max_us"]), (2, 1.0, 2.0))
        self.assertEqual((parsed["late_p999_us"], parsed["overwrites"], parsed["overwrites_left_out"]), (0.03, 40, 5))
        parsed = load.parse_fixed_rate(out, 1)
        self.assertEqual((parsed["commands"], parsed["max_us"], parsed["late_p999_us"]), (1, 1.0, 0.03))
        for none, skipped in (([0, 0], 0), ([1, 2, 0, 0], 1), ([1, 2, 0, 0], 5)):
            with self.assertRaises(BenchError):
                load.parse_fixed_rate(array.array("Q", none).tobytes(), skipped)

    def test_info(self):
        self.assertEqual(parse_info("# Stats\r\na:1\r\nb:x:y\r\n\r\n"), {"a": "1", "b": "x:y"})

    def test_keys_and_values(self):
        self.assertEqual(key_of(42), b"key:000000000042")
        self.assertEqual(value_of(255, 20), b"00000000000000ff0000")
        self.assertEqual(len(value_of(1, 64)), 64)

    def test_commands(self):
        self.assertEqual(load.command_of("GET", 64), ["-d", "64", "-t", "get"])
        self.assertEqual(load.command_of("SET EX", 3)[:3], ["SET", load.KEY, "xxx"])
        self.assertEqual(len(load.command_of("MGET of 10", 64)), 11)
        for test in rates.TESTS:
            load.command_of(test, 64)
        with self.assertRaises(ValueError):
            load.command_of("LPUSH", 64)


class Reports(unittest.TestCase):
    ROWS = [{"test": test, "pipeline": pipeline, "value_bytes": size,
             "cells": {"Redis": cell(100_000), "ours": cell(120_000, 0.5)}}
            for size in (64, 1024) for pipeline in (1, 16) for test in ("GET", rates.AOF_TEST)]

    def test_summary(self):
        text = report.summary_table(self.ROWS, "ours")
        self.assertIn("| GET, 1 KiB | **1.20 of 1.00** | **1.20 of 1.20** |", text)
        self.assertIn("| SET, AOF always, 64 B | **1.20 of 1.20** | 1.20 of 1.80 |", text)

    def test_rates(self):
        text = report.rate_tables(self.ROWS, "ours")
        self.assertIn("### 1 KiB values, against an AOF synced at every write", text)
        self.assertIn("| GET, pipeline 16 | 100,000/s, 1.00 us, 0.50 / 1.25 ms "
                      "| 120,000/s, 0.50 us, 0.50 / 1.25 ms | 1.20 | 1.20 | 0.50 |", text)

    def test_goals_are_of_the_tests_there_are(self):
        self.assertEqual(set(report.GOALS), {*rates.TESTS, rates.AOF_TEST})
        for goals in report.GOALS.values():
            self.assertEqual(tuple(goals), rates.PIPELINES)

    def test_lifecycle_of_a_volatile_engine(self):
        common = {"fill_per_second": 1e6, "fill_cpu_us": 1.0, "flushall_ms": 2.0, "dbsize_ms": 0.05}
        cells = {
            "Redis": {**common, "bytes_per_key": {"dram_bytes": 150, "used_memory": 160}, "kill_seconds": 0.1,
                      "first_get_seconds": 2.0, "all_keys_seconds": 2.0},
            "ours": {**common, "bytes_per_key": {"dram_bytes": 40, "index_bytes": 30, "allocated_bytes": 120}},
        }
        text = report.lifecycle_tables([{"keys": 3, "value_bytes": 64, "cells": cells}], "ours")
        self.assertIn("| ours | - | - | - | - | - |", text)
        self.assertIn("| ours | 120.0 | 30.0 | 40.0 | - | 1.00 | 2.0 | 0.050 | 1,000,000/s, 1.00 us |", text)

    def test_latency(self):
        figure = {"p50_us": 10, "p99_us": 20, "p999_us": 30, "max_us": 40, "late_p999_us": 5}
        rows = [{"test": "GET", "per_second": 20_000, "did": {"Redis": "BGSAVE 2 times"},
                 "cells": {"Redis": {**figure, "p999_us": 60}, "ours": figure}}]
        text = report.latency_table(rows, "ours")
        self.assertIn("| GET at 20,000/s, Redis (BGSAVE 2 times) | 10 | 20 | 60 | 40 | 5 |  |", text)
        self.assertIn("| GET at 20,000/s, ours | 10 | 20 | 30 | 40 | 5 | 0.50 |", text)

    def test_sizes(self):
        for size, name in ((16, "16 B"), (1024, "1 KiB"), (1 << 20, "1 MiB"), (1500, "1500 B")):
            self.assertEqual(report.size_name(size), name)


class Counts(unittest.TestCase):
    def test_commands_are_those_of_their_rows(self):
        draw = random.Random(1)
        for test, make in counts.COMMANDS.items():
            words = make(draw)
            self.assertEqual(words[0].decode(), re.split("[ ,_]", test)[0])
            self.assertTrue(all(isinstance(word, bytes) for word in words), test)
            if words[0] == b"EVALSHA":
                self.assertIn(words[1], map(counts.sha1, (counts.INCR, counts.LIMITER)))

    def test_totals_of_unfinished_files_are_missing(self):
        with tempfile.TemporaryDirectory() as folder:
            prefix = f"{folder}/counts"
            for thread, text in (("01", "summary: 1\ntotals: 17\n"), ("02", "events: Ir\n")):
                with open(f"{prefix}.1-{thread}", "w") as file:
                    file.write(text)
            self.assertEqual(counts.read_totals(prefix), {"01": 17, "02": None})

    def test_all_clients_send_before_any_reads(self):
        log = []

        class Stub:
            def __init__(self, name):
                self.name, self.socket = name, self

            def sendall(self, batch):
                log.append((self.name, batch.count(b"GET")))

            def reply(self):
                log.append(self.name)

        counts.send_all([Stub("a"), Stub("b")], counts.COMMANDS["GET"], 2, 1, random.Random(1))
        self.assertEqual(log, [("a", 2), ("b", 2), "a", "a", "b", "b"])

    def test_table(self):
        cells = {"Redis": {"instructions": 5000.4}, "Valkey": {"instructions": 4000.0}, "ours": {"instructions": 3000.0}}
        page = counts.tables([{"test": "GET", "pipeline": 16, "cells": cells}], "ours")
        self.assertIn("| GET, pipeline 16 | 5,000 | 4,000 | 3,000 | 0.75 |", page)


class Plans(unittest.TestCase):
    def test_plans(self):
        self.assertEqual(plan.make_plan(False, True).restart_keys, (3_000_000, 10_000_000))
        self.assertEqual(plan.make_plan(True, False, ["rates"]).parts, ("rates",))
        self.assertEqual(rates.tests_for(1024, (64, 1024)), [test for test in rates.TESTS if test != "INCR"])


class Curves(unittest.TestCase):
    MACHINE = {"cpu": "a CPU", "cores": 2, "memory_gib": 4.0, "kernel": "6", "peer_files_on": "ext4", "load_before": 0,
               "versions": ["a server"]}
    POINTS = [{"test": test, "x": x, "cells": {"Redis": cell(x), "ours": cell(x * 2)}}
              for test in curves.TESTS for x in (10_000, 100_000)]

    def test_page_and_index(self):
        text = curves.page("keys", self.POINTS, ["A note."], self.MACHINE, True)
        self.assertIn("![Number of keys](keys.svg)", text)
        self.assertIn("| 100,000 | 100,000/s, 1.00 us, p99 1.25 ms | 200,000/s, 1.00 us, p99 1.25 ms |", text)
        with tempfile.TemporaryDirectory() as folder:
            curves.write(os.path.join(folder, "keys.md"), text)
            index = curves.index(folder)
        self.assertIn("- [Number of keys](keys.md)", index)
        self.assertNotIn("values.md", index)

    def test_figures_of_an_axis(self):
        for value, text in ((0.5, "0.5"), (256, "256"), (10_000, "10k"), (1_500_000, "1.5M"), (16_384, "16Ki"),
                            (1 << 20, "1Mi"), (3_000_000, "3M")):
            self.assertEqual(plots.short(value), text)

    def test_plots_are_the_same_each_time(self):
        with tempfile.TemporaryDirectory() as folder:
            made = []
            for name in ("a.svg", "b.svg"):
                path = os.path.join(folder, name)
                if not plots.draw(self.POINTS, curves.TESTS, ["Redis", "ours"], "Keys", "keys", path):
                    self.skipTest("matplotlib is not installed")
                with open(path, "rb") as file:
                    made.append(file.read())
        self.assertEqual(made[0], made[1])
        self.assertNotIn(b"<dc:date>", made[0])
        self.assertLess(len(made[0]), 100_000)


class Space(unittest.TestCase):
    @staticmethod
    def row(shape, own):
        peers = {"Redis": {"total": 200.0}, "newer Redis": {"total": 100.0}}
        return {"shape": shape, "cells": {**peers, "ours": {"pool": own - 20, "index": 20.0, "total": own}}}

    def test_ratio_and_goals(self):
        rows = [self.row("string of 64 bytes", 90.0), self.row("list of 10 elements", 120.0)]
        text = space.tables({"keys": 10, "rows": rows}, "ours")
        self.assertIn("| string of 64 bytes | 200.0 | 100.0 | 70.0 | 20.0 | 90.0 | 0.90 | 125.0 |", text)
        self.assertIn("| list of 10 elements | 200.0 | 100.0 | 100.0 | 20.0 | 120.0 | 1.20 | 110.0 |", text)

    def test_every_shape_makes_a_command_of_its_key(self):
        for shape, (make, _) in space.SHAPES.items():
            words = make(b"a key", 3)
            self.assertEqual(words[1], b"a key", shape)
            self.assertTrue(all(isinstance(word, bytes) for word in words), shape)


if __name__ == "__main__":
    unittest.main()

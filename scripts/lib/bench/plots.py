"""The curves as SVG files: the same figures give the same bytes."""

COLOURS = ("#4c72b0", "#c44e52", "#55a868", "#8172b2", "#ccb974", "#64b5cd", "#8c8c8c", "#dd8452")
FIGURES = (("per_second", "requests per second"), ("cpu_us", "server CPU, us per command"))


def short(value):
    """A figure of an axis: 500, 10k, 3M; sizes in bytes as 4Ki, 1Mi."""
    for unit, factor in (("Mi", 1 << 20), ("Ki", 1 << 10)):
        if value >= factor and value % factor == 0:
            return f"{value / factor:.3g}{unit}"
    for unit, factor in (("M", 1_000_000), ("k", 1_000)):
        if value >= factor:
            return f"{value / factor:.3g}{unit}"
    return f"{value:.3g}"


def draw(points, tests, titles, title, x_name, path):
    """A row for each test, rate and CPU side by side. False when matplotlib is missing."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("svg")
    # Without a fixed salt, the ids in the file differ from run to run.
    matplotlib.rcParams["svg.hashsalt"] = "pmemkv-server"
    # Text as text: a tenth of the size, and it can be searched.
    matplotlib.rcParams["svg.fonttype"] = "none"
    from matplotlib import pyplot, ticker

    figure, axes = pyplot.subplots(len(tests), len(FIGURES), figsize=(9, 3 * len(tests)), squeeze=False)
    for line, test in enumerate(tests):
        for column, (name, label) in enumerate(FIGURES):
            axis = axes[line][column]
            for place, one in enumerate(titles):
                mine = [point for point in points if point["test"] == test and one in point["cells"]]
                axis.plot([point["x"] for point in mine], [point["cells"][one][name] for point in mine],
                          marker="o", markersize=3, linewidth=1.2, color=COLOURS[place % len(COLOURS)], label=one)
            axis.set_xscale("log")
            axis.set_yscale("log")
            # The points themselves; a logarithmic axis has no other places of interest.
            places = sorted({point["x"] for point in points})
            axis.set_xticks(places, [short(x) for x in places])
            axis.minorticks_off()
            axis.yaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: short(value)))
            axis.set_title(f"{test}: {label}", fontsize=9)
            axis.set_xlabel(x_name, fontsize=8)
            axis.tick_params(labelsize=7)
            axis.grid(True, linewidth=0.3)
    axes[0][0].legend(fontsize=7)
    figure.suptitle(title, fontsize=11)
    figure.tight_layout()
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
    return True

# SPDX-License-Identifier: LGPL-2.1-or-later
"""Curves over the number of running containers, one panel a quantity, as SVG; both axes are logarithmic."""
import math

W, H, LEFT, TOP, GAP = 420, 260, 60, 40, 90
COLOURS = {"ours": "#1565c0", "other": "#c62828"}


def decades(low, high):
    return [10.0 ** i for i in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]


def panel(out, x0, title, unit, series):
    points = [p for s in series.values() for p in s]
    if not points:
        return
    xs, ys = (decades(min(p[i] for p in points), max(max(p[i] for p in points), min(p[i] for p in points) * 1.01)) for i in (0, 1))
    at = lambda v, axis: (math.log10(v) - math.log10(axis[0])) / (math.log10(axis[-1]) - math.log10(axis[0]))
    px, py = lambda v: x0 + at(v, xs) * W, lambda v: TOP + H - at(v, ys) * H
    out.append(f'<text x="{x0}" y="{TOP - 14}" font-weight="bold">{title}, {unit}</text>')
    out.append(f'<rect x="{x0}" y="{TOP}" width="{W}" height="{H}" fill="none" stroke="#888"/>')
    for v in xs:
        out.append(f'<line x1="{px(v):.1f}" y1="{TOP}" x2="{px(v):.1f}" y2="{TOP + H}" stroke="#ddd"/>')
        out.append(f'<text x="{px(v):.1f}" y="{TOP + H + 16}" text-anchor="middle">{v:g}</text>')
    for v in ys:
        out.append(f'<line x1="{x0}" y1="{py(v):.1f}" x2="{x0 + W}" y2="{py(v):.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{x0 - 6}" y="{py(v) + 4:.1f}" text-anchor="end">{v:g}</text>')
    out.append(f'<text x="{x0 + W / 2}" y="{TOP + H + 34}" text-anchor="middle">containers running</text>')
    for name, s in series.items():
        if not s:
            continue
        line = " ".join(f"{px(x):.1f},{py(y):.1f}" for x, y in s)
        out.append(f'<polyline points="{line}" fill="none" stroke="{COLOURS[name]}" stroke-width="2"/>')
        out += [f'<circle cx="{px(x):.1f}" cy="{py(y):.1f}" r="3" fill="{COLOURS[name]}"><title>{x}: {y:.1f} {unit}</title></circle>' for x, y in s]
        out.append(f'<text x="{px(s[-1][0]) - 4:.1f}" y="{py(s[-1][1]) - 8:.1f}" text-anchor="end" fill="{COLOURS[name]}">{name}: {s[-1][1]:.1f}</text>')


def write(path, panels):
    """panels: (title, unit, engine name -> [(containers, value)])"""
    width, height = LEFT + len(panels) * (W + GAP) - GAP + 20, TOP + H + 50
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{width}" height="{height}" fill="white"/>']
    for i, (title, unit, series) in enumerate(panels):
        panel(out, LEFT + i * (W + GAP), title, unit, series)
    with open(path, "w") as f:
        f.write("\n".join(out + ["</svg>", ""]))

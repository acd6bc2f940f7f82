"""A description of the machine that measured."""

import os
import platform
import subprocess


def version_of(program):
    """The first line of the program's version text."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)
        return done.stdout.strip().splitlines()[0].split(" sha=")[0]
    except (OSError, IndexError):
        return f"{os.path.basename(program)}, version unknown"


def describe(programs, work_dir):
    """CPU, memory, kernel, where the peers' files are, the load before, the versions."""
    with open("/proc/cpuinfo") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    with open("/proc/meminfo") as file:
        memory_kib = int(file.readline().split()[1])
    stat = subprocess.run(["stat", "-f", "-c", "%T", work_dir], capture_output=True, text=True, check=False)
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory_kib / (1 << 20), 1),
        "kernel": platform.release(),
        "peer_files_on": stat.stdout.strip() or "unknown",
        "load_before": os.getloadavg()[0],
        "versions": list(dict.fromkeys(version_of(program) for program in programs)),
    }


def sentence(machine):
    """The description as one line of text."""
    return (f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
            f"Linux {machine['kernel']}; the peers' files on {machine['peer_files_on']}; "
            f"load {machine['load_before']:.2f} at the start. {'; '.join(machine['versions'])}.")

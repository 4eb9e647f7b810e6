"""Sound to features: the logarithm of the energy in bands of the mel scale, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import FileError, require


@dataclass(frozen=True)
class LogMel:
    """How sound becomes features [T, bands].

    Attributes:
        bands: filters, triangles of equal width on the mel scale, 2595 log10(1 + f / 700).
        frame: seconds that one step looks at, under a Hann window.
        hop: seconds from one step to the next.
        low: lower edge of the first filter, in hertz. The upper edge of the last is half the sampling rate.
        floor: added to the energy before its logarithm, for sound in -1 to 1.

    Paper: S. Davis and P. Mermelstein, "Comparison of parametric representations for monosyllabic word recognition", IEEE
    Trans. ASSP 28(4), 1980, without the cosine transform.
    """

    bands: int = 40
    frame: float = 0.025
    hop: float = 0.010
    low: float = 20.0
    floor: float = 1e-6

    def __call__(self, sound: np.ndarray, rate: int) -> np.ndarray:
        """Features [T, bands] of sound [samples] at so many samples a second; a sound shorter than a frame is one step."""
        size, hop = max(2, round(self.frame * rate)), max(1, round(self.hop * rate))
        sound = np.pad(sound.astype(np.float32), (0, max(0, size - len(sound))))
        frames = np.lib.stride_tricks.sliding_window_view(sound, size)[::hop]
        points = 1 << (size - 1).bit_length()
        energy = np.abs(np.fft.rfft(frames * np.hanning(size), points)) ** 2 / size
        return np.log(energy @ self.filters(rate, points).T + self.floor).astype(np.float32)

    def filters(self, rate: int, points: int) -> np.ndarray:
        """The weight of every frequency of a Fourier transform of so many points in every band: [bands, points / 2 + 1]."""
        mel = np.linspace(_mel(self.low), _mel(rate / 2), self.bands + 2)
        edges = 700 * (10 ** (mel / 2595) - 1)
        f = np.linspace(0, rate / 2, points // 2 + 1)
        rise = (f - edges[:-2, None]) / np.diff(edges)[:-1, None]
        fall = (edges[2:, None] - f) / np.diff(edges)[1:, None]
        return np.maximum(0, np.minimum(rise, fall))


def _mel(frequency: float) -> float:
    return float(2595 * np.log10(1 + frequency / 700))


def read_sound(path: Path) -> tuple[np.ndarray, int]:
    """The samples [n] of a sound file, its channels averaged, and their rate.

    Raises:
        FileError: it is not a sound file, or has no samples.
    """
    soundfile = require("soundfile", "train", "reading sound")
    try:
        sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise FileError(f"{path} is not a sound file that can be read: {str(error).splitlines()[0]}") from error
    if not len(sound):
        raise FileError(f"{path} has no samples")
    return sound.mean(1), rate

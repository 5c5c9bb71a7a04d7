"""Finding a part of one image in another: matched SIFT features, one similarity transform, then the pixels themselves.

A benchmark image is often a crop of a training photograph, which a hash of the whole image cannot see.
SIFT and the ratio of inliers are as in Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004;
descriptors are compared as in Arandjelovic and Zisserman, "Three things everyone should know to improve object
retrieval", CVPR 2012 (RootSIFT).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["FeatureIndex", "FeatureMatch"]

Gray = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]

# long side in pixels at which images are compared, and features taken from each
_INDEXED_SIDE: Final = 512
_INDEXED_FEATURES: Final = 400
_QUERY_SIDE: Final = 1024
_QUERY_FEATURES: Final = 1000

_NEIGHBOURS: Final = 4  # candidates per feature: indexed images may share content, so more than the nearest one
_DESCRIPTOR_DISTANCE: Final = 0.7  # of unit vectors
_TRANSFORM_TOLERANCE: Final = 3.0  # px
_SCALES: Final = (0.2, 5.0)
_MIN_INLIERS: Final = 6
_MIN_AREA: Final = 1024  # px in common
_MIN_CORRELATION: Final = 0.9


@dataclass(frozen=True)
class FeatureMatch:
    """An indexed image that has a part in common with the query.

    Attributes:
        index: number of the indexed image.
        inliers: matched features that agree on one shift, rotation and scale.
        correlation: of the pixels in common, -1 to 1.
    """

    index: int
    inliers: int
    correlation: float


@dataclass(frozen=True)
class _Features:
    """Positions (n, 2) in pixels, x first, and descriptors (n, 128) of unit length."""

    positions: Floats
    descriptors: Floats


class FeatureIndex:
    """Images to be found again, whole or in part, mirrored or not.

    Args:
        images: gray, (H, W), any size.
    """

    def __init__(self, images: Sequence[Gray]) -> None:
        views = [_shrink(image, _INDEXED_SIDE) for image in images]
        # a mirrored descriptor differs, a rotated one does not: mirroring once covers all 8 orientations
        self._views = [oriented for view in views for oriented in (view, np.ascontiguousarray(view[:, ::-1]))]
        features = [_detect(view, _INDEXED_FEATURES) for view in self._views]
        self._positions = [entry.positions for entry in features]
        counts = [len(entry.positions) for entry in features]
        self._owner = np.repeat(np.arange(len(self._views)), counts)
        self._offset = np.concatenate([[0], np.cumsum(counts)])
        # a randomised k-d forest: the exact search takes many times longer
        self._matcher = cv2.FlannBasedMatcher({"algorithm": 1, "trees": 4}, {"checks": 48})
        if len(self._owner) >= _NEIGHBOURS:
            self._matcher.add([np.concatenate([entry.descriptors for entry in features])])
            self._matcher.train()

    def find(self, image: Gray) -> FeatureMatch | None:
        """Return the indexed image that has most in common with ``image`` (H, W), or None if none has a part of it."""
        query = _shrink(image, _QUERY_SIDE)
        features = _detect(query, _QUERY_FEATURES)
        if len(self._owner) < _NEIGHBOURS or len(features.positions) < _MIN_INLIERS:
            return None
        matches = [self._verify(query, features, view, pairs) for view, pairs in self._candidates(features)]
        return max((match for match in matches if match is not None), key=lambda match: match.inliers, default=None)

    def _candidates(self, features: _Features) -> list[tuple[int, NDArray[np.int64]]]:
        """Return (view, pairs), pairs (n, 2) of a query feature and one of the view's, each used once at most."""
        found = [
            (match.distance, match.queryIdx, match.trainIdx)
            for row in self._matcher.knnMatch(features.descriptors, _NEIGHBOURS)
            for match in row
            if match.distance < _DESCRIPTOR_DISTANCE
        ]
        pairs = np.array([pair for _, *pair in sorted(found)], dtype=np.int64).reshape(-1, 2)
        owners = self._owner[pairs[:, 1]]
        candidates = []
        for view in np.unique(owners):
            own = _first_uses(_first_uses(pairs[owners == view], 0), 1)
            if len(own) >= _MIN_INLIERS:
                candidates.append((int(view), own - [0, self._offset[view]]))
        return candidates

    def _verify(self, query: Gray, features: _Features, view: int, pairs: NDArray[np.int64]) -> FeatureMatch | None:
        source, target = features.positions[pairs[:, 0]], self._positions[view][pairs[:, 1]]
        transform, is_inlier = cv2.estimateAffinePartial2D(
            source, target, method=cv2.RANSAC, ransacReprojThreshold=_TRANSFORM_TOLERANCE
        )
        if transform is None or not _SCALES[0] < np.hypot(transform[0, 0], transform[1, 0]) < _SCALES[1]:
            return None
        kept = is_inlier.ravel().astype(bool)
        inliers = min(_count_places(source[kept]), _count_places(target[kept]))
        if inliers < _MIN_INLIERS:
            return None
        correlation = _correlation(query, self._views[view], np.asarray(transform, dtype=np.float64))
        return FeatureMatch(view // 2, inliers, correlation) if correlation >= _MIN_CORRELATION else None


def _shrink(image: Gray, side: int) -> Gray:
    scale = side / max(image.shape)
    if scale >= 1:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _detect(image: Gray, count: int) -> _Features:
    keypoints, descriptors = cv2.SIFT.create(nfeatures=count).detectAndCompute(image, None)
    if len(keypoints) == 0:
        return _Features(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32))
    root = np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-9))
    return _Features(np.array([keypoint.pt for keypoint in keypoints], np.float32), root.astype(np.float32))


def _first_uses(pairs: NDArray[np.int64], column: int) -> NDArray[np.int64]:
    """Keep the first pair with each value of a column, in order."""
    return pairs[np.sort(np.unique(pairs[:, column], return_index=True)[1])]


def _count_places(positions: Floats) -> int:
    """Count features in different places: several of other orientations may sit on one spot, and prove little."""
    return len(np.unique(np.round(positions / _TRANSFORM_TOLERANCE), axis=0))


def _correlation(query: Gray, view: Gray, transform: Floats) -> float:
    """Correlate ``view`` with ``query`` moved onto it, both slightly blurred, where both have pixels; 0 if few have."""
    size = (view.shape[1], view.shape[0])
    moved = cv2.warpAffine(query, transform, size, flags=cv2.INTER_AREA)
    inside = cv2.warpAffine(np.full(query.shape, 255, np.uint8), transform, size, flags=cv2.INTER_NEAREST)
    common = cv2.erode(inside, np.ones((5, 5), np.uint8)) == 255
    if np.count_nonzero(common) < _MIN_AREA:
        return 0.0
    first = cv2.GaussianBlur(moved, (0, 0), 1.5)[common].astype(np.float64)
    second = cv2.GaussianBlur(view, (0, 0), 1.5)[common].astype(np.float64)
    first, second = first - first.mean(), second - second.mean()
    return float((first @ second) / np.sqrt((first @ first) * (second @ second) + 1e-9))

"""A clip as one picture: frames in rows, in their order."""

import numpy as np
import pytest
import torch

from unseen.data.contact_sheet import contact_sheet


def test_frames_stand_in_rows_from_the_first_to_the_last():
    clip = np.stack([np.full((3, 20, 20), 25 * i, np.uint8) for i in range(9)])
    sheet = contact_sheet(clip, side=20)
    assert sheet.size == (60, 60)
    middles = [sheet.getpixel((20 * (i % 3) + 10, 20 * (i // 3) + 10))[0] for i in range(9)]
    assert middles == [25 * i for i in range(9)]


def test_fewer_frames_make_a_smaller_sheet_and_proportions_stay():
    sheet = contact_sheet(np.zeros((2, 3, 10, 20), np.uint8), side=22)
    assert sheet.size == (44, 12)
    assert sheet.getpixel((11, 0)) == (255, 255, 255)
    assert sheet.getpixel((11, 6)) == (0, 0, 0)


def test_small_frames_are_enlarged_and_no_gaps_are_between():
    sheet = contact_sheet(np.zeros((9, 3, 8, 16), np.uint8), side=66)
    assert sheet.size == (3 * 66, 3 * 34)
    dark = (np.asarray(sheet) < 128).all(axis=2)
    assert dark.mean() == pytest.approx(64 * 32 / (66 * 34))


def test_normalized_clips_are_stretched():
    assert contact_sheet(torch.randn(4, 3, 8, 8)).size == (112, 112)

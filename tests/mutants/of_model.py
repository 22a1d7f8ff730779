"""Changes to encoders, decoding and measuring."""

from .change import Change, worse, wrong

CHANGES: dict[str, list[Change]] = {
    "model/encoder/openvino.py": [
        wrong(
            "if used != self._instructions:",
            "if False:",
            "vectors of other instructions are taken for the same",
            "tests/model/encoder/test_openvino.py",
        ),
    ],
    "model/encoder/openvino_ir.py": [
        wrong(
            "or begin + size > len(self._weights)",
            "",
            "a constant may lie behind the end of its file",
            "tests/model/encoder/test_openvino_ir.py",
        ),
    ],
    "model/text/tower.py": [
        wrong(
            "return one == other or not one & other",
            "return True",
            "a text that says more than a label is taken for it",
            "tests/model/text/test_tower.py",
        ),
        wrong(
            "error = _softmax(scores, 1) - target + _softmax(scores, 0) - target.T",
            "error = 2 * (_softmax(scores, 1) - target)",
            "images do not learn which texts they have",
            "tests/model/text/test_tower.py",
        ),
    ],
    "model/text/encoder.py": [
        wrong(
            "if manifest.encoder != encoder:",
            "if False:",
            "texts are compared with vectors of another encoder",
            "tests/model/text/test_bundle.py",
        ),
    ],
    "model/encoder/manifest.py": [
        wrong(
            'decides["instructions"] = manifest["instructions"]',
            "pass",
            "vectors of AMX are compared with those of others",
            "tests/model/encoder/test_openvino.py",
        ),
        wrong(
            "if k == PROJECTION or k.startswith(_BEGINS[variant])}",
            "if k.startswith(_BEGINS[variant])}",
            "two encoders with other projections have one fingerprint",
            "tests/model/encoder/test_bundle.py",
        ),
        wrong(
            "if k == PROJECTION or k.startswith(_BEGINS[variant])}",
            "if k == PROJECTION}",
            "two encoders with other networks have one fingerprint",
            "tests/model/encoder/test_bundle.py",
        ),
        wrong(
            '"pooling", "unit_length")}',
            '"pooling")}',
            "vectors of unit length and others have one fingerprint",
        ),
        wrong(
            '("format", "dim", "preprocessing",',
            '("format", "dim",',
            "two encoders with other preprocessing have one fingerprint",
            "tests/model/encoder/test_bundle.py",
        ),
        wrong(
            '        decides["views"] = manifest["views"]\n',
            "        pass\n",
            "encoders with and without test-time augmentation have one fingerprint",
            "tests/model/encoder/test_bundle.py",
        ),
        wrong(
            'expected, found = manifest.get("digest"), manifest_digest(manifest)',
            'expected = found = manifest.get("digest")',
            "an encoder whose settings were changed is used",
        ),
        wrong(
            "        if (found := sha256_file(path)) != expected:\n            raise",
            "        if False:\n            raise",
            "an encoder of which a file was changed is opened",
        ),
        worse(
            "set(_files(folder)) - listed.keys() - beside",
            "set()",
            "a file that the manifest does not list is in an encoder",
        ),
        worse(
            "    if missing := sorted(needed - listed.keys()):\n",
            "    if missing := []:\n",
            "files are used that have no digest",
        ),
        wrong(
            '{**decides, "variant": variant, "files": files}',
            '{**decides, "files": files}',
            "variant is left out of the fingerprint",
        ),
        wrong(
            '"preprocessing", "pooling", "unit_length")}',
            '"preprocessing", "unit_length")}',
            "avg and max pooling have one fingerprint",
        ),
        wrong(
            '("format", "dim", "preprocessing"',
            '("dim", "preprocessing"',
            "a new format has the fingerprint of the old",
        ),
        wrong(
            "    if (found := hashlib.sha256(data).hexdigest()) != expected:\n        raise",
            "    if False:\n        raise",
            "a file that is changed between check and reading is used",
        ),
    ],
    "model/encoder/graphs.py": [
        wrong(
            "(operation in _ONLY_SAVING and not called)",
            "operation in _ONLY_SAVING",
            "a network writes files while it computes",
        ),
        wrong(
            "refused |= {name for name in functions if op_def_registry.get(name) is not None}",
            "",
            "an operation is hidden behind a function of its name",
        ),
        wrong(
            "        if kind not in _KINDS:",
            "        if False:",
            "a table is filled from a file when a network is loaded",
        ),
    ],
    "model/encoder/tflite.py": [
        wrong(
            "            if number in known:\n",
            "            if False:\n",
            "a model whose operations write over each other's tensors is run",
        ),
        wrong(
            "    if len(data) not in (0, math.prod(shape) * dtype.itemsize):",
            "    if False:",
            "a model is read behind its end",
        ),
        wrong(
            "if option in _SIZES and not 1 <= value <= _LONGEST:",
            "if False:",
            "a stride of 0 ends the process",
        ),
    ],
    "model/encoder/flatbuffer.py": [
        wrong(
            "if count * dtype.itemsize > len(self._data) - begin or",
            "if",
            "a vector reaches behind the file",
        ),
    ],
    "model/encoder/tflite_interpreter.py": [
        wrong(
            "self._native.AllocateTensors()",
            "self._native.AllocateTensors(0)",
            "the network is computed without XNNPACK: other vectors, at a third of the speed",
        ),
    ],
    "model/encoder/runtimes.py": [
        wrong(
            "        batch = np.zeros((self._batch, *pixels.shape[1:]), np.float32)\n",
            "        batch = np.zeros((len(pixels), *pixels.shape[1:]), np.float32)\n",
            "a vector depends on the batch it came in",
            "tests/model/encoder/test_bundle.py",
        ),
    ],
    "model/encoder/bundle.py": [
        wrong("        vectors[list(errors)] = np.nan\n", "", "an image without a direction has a vector"),
        wrong(
            "                yield running.popleft()[1].result()\n        finally",
            "                yield running.pop()[1].result()\n        finally",
            "vectors come in another order than their images",
        ),
        worse(
            "            elif self.unit_length and not vectors[i].any():",
            "            elif False:",
            "an image of which the network makes zeros is indexed",
        ),
        wrong(
            "        return unit_length(vectors) if self.unit_length else vectors\n\n    def features",
            "        return vectors\n\n    def features",
            "vectors are not of unit length",
        ),
        worse(
            "len(waiting) > 3 * threads or",
            "len(waiting) > 300 * threads or",
            "memory grows with the corpus",
        ),
        worse(
            "sum(waiting) > WAITING_BYTES",
            "False",
            "memory grows with the size of the images",
        ),
        wrong(
            "variants += [variant[:, :, ::-1] for variant in variants]",
            "variants += [variant[:, ::-1] for variant in variants]",
            "the mirrored variant stands on its head",
            "tests/model/images/test_test_time_augmentation.py",
        ),
        wrong(
            "self._scales, image, max_pixels=self.max_pixels, suspect=suspect",
            "self._scales, image, suspect=suspect",
            "corpus.max_pixels is not looked at",
        ),
        worse(
            "self._scales, image, max_pixels=self.max_pixels, suspect=suspect",
            "self._scales, image, max_pixels=self.max_pixels",
            "an image that ended a worker ends the next, too",
            "tests/model/encoder/test_bundle.py",
        ),
        wrong(
            "vectors = features if self.projection is None else self.projection.apply(features)",
            "vectors = features",
            "the projection is left out",
        ),
    ],
    "model/explaining/similarity.py": [
        wrong(
            "powers.mean(axis=(0, 1)) ** (1 / power - 1)",
            "powers.mean(axis=(0, 1)) ** (1 / power)",
            "the parts of GeM pooling do not add up",
        ),
        wrong(
            "parts - projection.mean_.astype(np.float64) / places",
            "parts - projection.mean_.astype(np.float64)",
            "the mean is subtracted once for each place",
        ),
    ],
    "model/explaining/pooled_network.py": [
        wrong(
            "np.stack(alone) - nothing * (1 - 1 / places)",
            "np.stack(alone)",
            "the bias of a layer counts once for each place, and every network with one is taken for a bent one",
        ),
    ],
    "model/encoder/export.py": [
        wrong(
            "np.linspace(0, len(pixels) - 1, min(CALIBRATION_IMAGES, len(pixels)))",
            "np.arange(min(CALIBRATION_IMAGES, len(pixels)))",
            "int8 is calibrated on the first images alone, which may be of one class",
        ),
        wrong(
            "features, labels = features[known], [label for label in labels if label is not None]",
            "features, labels = features[: known.sum()], [label for label in labels if label is not None]",
            "LDA is fitted with the labels of other images",
        ),
        wrong(
            "            unreadable[position] = str(error)\n",
            "            unreadable[position] = str(error)\n            labels.append(None)\n",
            "behind an image that cannot be read, labels are those of other images",
        ),
        worse("        folder.chmod(0o755)\n", "", "nobody but the maker can open an encoder"),
        wrong(
            "max(1, len(set(labels)) - 1)), shrinkage)",
            "max(1, len(set(labels)) - 2)), shrinkage)",
            "LDA has one dimension too few",
        ),
        worse(
            "shown = pixels[held_out if len(held_out) else chosen][:64]",
            "shown = pixels[chosen][:64]",
            "the agreement of int8 is measured on what it was calibrated on",
        ),
        wrong(
            "    if out.exists() and any(out.iterdir()):",
            "    if False:",
            "an encoder is built over files that were there",
        ),
        wrong("        extremes[:, ::2] = 255\n", "", "pixels are rounded on their way into int8"),
        wrong(
            "_quantise(folder / SAVED_MODEL, preprocess, pixels[chosen, 0])",
            "_quantise(folder / SAVED_MODEL, preprocess, pixels[chosen[:1], 0])",
            "int8 is calibrated on one image",
        ),
    ],
    "model/encoder/projection.py": [
        wrong(
            "features.astype(np.float32) - self.mean_",
            "features.astype(np.float32)",
            "the mean is not subtracted",
        ),
        worse(
            "        components = components * np.sign(components[np.arange(len(components)), largest])[:, None]\n",
            "",
            "two fits of one sample differ in their signs",
        ),
        wrong(
            "spread = (middles - mean) * np.sqrt(counts / len(x))[:, None]",
            "spread = middles - mean",
            "small classes count as much as large ones",
        ),
        wrong(
            "self._set(mean, directions * scale[:, None])",
            "self._set(mean, directions)",
            "whitening does not whiten",
        ),
        wrong(
            "shrunk = (1 - share) * variances + share * (centred**2).mean()",
            "shrunk = share * variances + (1 - share) * (centred**2).mean()",
            "shrinkage goes the other way",
        ),
        worse(
            "    if dim > min(images, features):",
            "    if dim > features.shape[1]:",
            "a projection of more dimensions than images is fitted",
        ),
        wrong(
            "norms = np.linalg.norm(vectors.astype(np.float64), axis=-1, keepdims=True)",
            "norms = np.linalg.norm(vectors, axis=-1, keepdims=True)",
            "very small vectors become zero",
        ),
    ],
    "model/encoder/post_processing.py": [
        wrong(
            "weight = np.where(similarity > 0, np.maximum(similarity, 0) ** alpha, 0)",
            "weight = np.maximum(similarity, 0) ** alpha",
            "with alpha 0 what is unlike counts as much as what is alike",
        ),
        wrong(
            "    return unit_length(total)\n",
            "    return total.astype(np.float32)\n",
            "expanded queries are not of unit length",
        ),
        wrong(
            "near_enough = mutual * (3 * shared >= 2 * half.sum(axis=2)[:, None])",
            "near_enough = mutual * (2 * shared >= 2 * half.sum(axis=2)[:, None])",
            "fewer neighbours are added than in the paper",
        ),
        wrong(
            "nearest = place < k2",
            "nearest = place <= k2",
            "vectors of neighbours are averaged over one too many",
        ),
        wrong(
            "return (1 - mix) * jaccard + mix * plain[:, 0, 1:]",
            "return mix * jaccard + (1 - mix) * plain[:, 0, 1:]",
            "the two distances are mixed the wrong way",
        ),
        wrong("    near = place <= k\n", "    near = place < k\n", "one neighbour too few is looked at"),
        worse("        if self.k2 > self.k1:", "        if False:", "k2 above k1 is taken"),
    ],
    "model/images/decode.py": [
        wrong(
            "(head.height, head.width) if head.orientation in exif.TURNED else (head.width, head.height)",
            "(head.width, head.height)",
            "width and height of a turned JPEG are swapped",
        ),
        wrong(
            "Image(exif.upright(pixels, head.orientation), *size)",
            "Image(pixels, *size)",
            "turned photographs are not turned back",
        ),
        worse(
            "    check_size(head.width, head.height, max_pixels)\n",
            "",
            "a huge JPEG is decompressed",
        ),
        wrong(
            "while min_side and factor < 8 and side >= 2 * factor * min_side:",
            "while min_side and factor < 8 and side >= factor * min_side:",
            "pictures are decoded too small and blown up again",
        ),
        wrong(
            "_jpeg(data, max_pixels, min_side, None if window else middle)",
            "_jpeg(data, max_pixels, min_side, middle)",
            "a percentile window sees rows that were left black",
        ),
    ],
    "model/images/signatures.py": [
        worse(
            'if data[128:132] == b"DICM":\n        return "DICOM"',
            'if data[:4] == b"DICM":\n        return "DICOM"',
            "DICOM is no image",
            "tests/model/images/test_dicom.py",
        ),
        worse(
            "data.startswith(starts, at) and (at != 8 or in_riff)",
            "data.startswith(starts, at)",
            "text with a word at its ninth letter is a picture",
        ),
    ],
    "model/images/bmp.py": [
        wrong("(run >> 4, run & 15)", "(run & 15, run >> 4)", "pairs of pixels change places"),
        wrong(
            "            at += length + length % 2\n",
            "            at += length\n",
            "a run of odd length shifts the rest",
        ),
        wrong("    pixels = pixels if head.top_down else pixels[::-1]\n", "", "BMP is upside down"),
    ],
    "model/images/isobmff.py": [
        wrong(
            "round((width - across) / 2 + right)",
            "round((width - across) / 2)",
            "an AVIF is cropped at its middle",
        ),
    ],
    "model/images/jpeg2000.py": [
        wrong("    low = -(2 ** (bits - 1)) if signed else 0\n", "    low = 0\n", "signed JPEG 2000 is dark"),
        wrong(
            "            and list(self.channels) in (usual, [*usual, (_ALPHA, 0)])\n",
            "",
            "channels of JPEG 2000 are taken in the order they are stored in",
        ),
    ],
    "model/images/exif.py": [
        wrong(
            "    if orientation in (3, 4, 7, 8):",
            "    if orientation in (3, 4, 5, 8):",
            "two of the eight orientations are wrong",
            "tests/model/images/test_formats.py",
        ),
        worse(
            "    if entry + 12 > len(block):",
            "    if False:",
            "a cut EXIF block is walked for its whole claim",
        ),
    ],
    "model/images/jpeg_top.py": [
        wrong("+ 3 * scale + 2)", "- 3 * scale - 2)", "the last rows of a crop are not decoded"),
        wrong(
            "return pixels if _PASSED_OVER.fullmatch(str(error)) else None",
            "return pixels",
            "damaged rows are taken for whole ones",
        ),
        worse(
            "    return 0xDD not in found and ",
            "    return ",
            "what was lost between restart markers is not missed",
        ),
    ],
    "model/images/codestreams.py": [
        wrong(
            "    if not np.array_equal(samples, read(data[:end] + _MORE + data[end:])):",
            "    if False:",
            "half of a deep JPEG is grey without a word",
        ),
    ],
    "model/images/jpeg.py": [
        worse("        head.process in (0, 1, 2)\n", "        True\n", "a lossless JPEG ends the process"),
        worse(
            "not _has_more_scans(data, head.scan)",
            "True",
            "a thousand scans are decoded without a limit of time",
        ),
        wrong(
            "        if not any(words in str(error) for words in HARMLESS):",
            "        if False:",
            "a damaged JPEG is read for the rest of it",
        ),
        wrong(
            "        if not _is_padding(data, head, str(error)):",
            "        if False:",
            "damage behind a harmless warning is not seen",
        ),
        wrong(
            "ramp(samples, 0, 2**head.bits - 1)",
            "ramp(samples, 0, 65535)",
            "12 bits are read as dark 16 bits",
        ),
    ],
    "model/images/png.py": [
        wrong(
            "    pixels = _with_full_window(memoryview(data)[first:last])",
            "    pixels = [memoryview(data)[first:last]]",
            "a PNG that promises too small a window is refused",
        ),
        wrong(
            "and zlib.crc32(chunk[4:-4]) == _number(chunk[-4:])",
            "",
            "a damaged tRNS makes a colour transparent",
        ),
        worse(
            "            if not first or last == start:",
            "            if True:",
            "side data between pixels is decoded",
        ),
        wrong(
            "    return exif.upright(_levels(samples, window), found.orientation)",
            "    return _levels(samples, window)",
            "a turned PNG is not turned back",
            "tests/model/images/test_formats.py",
        ),
        wrong(
            "return exif.upright(_levels(samples, window), found.orientation)",
            "return _levels(samples, window)",
            "PNG with EXIF is not turned",
        ),
        wrong(
            "orientation = orientation or exif.orientation",
            "orientation = exif.orientation",
            "the last eXIf counts",
        ),
    ],
    "model/images/formats.py": [
        wrong(
            "        rgba[..., 3] = 255 * (1 - hidden)\n",
            "",
            "an icon without alpha is white",
        ),
        wrong(
            "    if samples.dtype == np.uint16 and not window:",
            "    if samples.dtype == np.uint16:",
            "a deep PNG loses its lower bits before its window is laid on it",
            "tests/model/images/test_windows.py",
        ),
        wrong(
            "    if total > max_pixels:",
            "    if total >= max_pixels:",
            "a picture of exactly the limit is refused",
        ),
        worse(
            "        check_size(*picture.size, max_pixels)\n        picture.load()",
            "        picture.load()",
            "a huge GIF is decompressed",
        ),
        wrong(
            'or "transparency" in picture.info:', "or False:", "a transparent GIF is not composited on white"
        ),
    ],
    "model/images/levels.py": [
        wrong(
            "middle, half = self.center - 0.5, (self.width - 1) / 2",
            "middle, half = self.center, self.width / 2",
            "a window is not that of DICOM",
        ),
        wrong(
            "((band.astype(np.uint32) + 128) // 257)",
            "(band.astype(np.uint32) // 257)",
            "16 bits become 8 a level too dark",
        ),
        wrong(
            "        return np.where(values > high, 255, 0).astype(np.uint8)",
            "        return np.where(values >= high, 255, 0).astype(np.uint8)",
            "a window of width 1 has its edge a level too low",
        ),
        wrong(
            "np.rint((values - low) * factor",
            "np.rint(values * factor",
            "levels that do not begin at 0 are stretched wrongly",
        ),
        wrong(
            "band = band[np.isfinite(band)]",
            "band = np.nan_to_num(band)",
            "NaN is a level",
        ),
        wrong(
            "ranks = [max(0, math.ceil(samples.size * (percent / 100) - 1))",
            "ranks = [max(0, math.floor(samples.size * (percent / 100) - 1))",
            "percentiles of 16 bits are a rank too low",
        ),
        wrong(
            "white * (white - share) + white // 2) // white",
            "white // 2) // white",
            "transparent pixels are black",
            "tests/model/images/test_formats.py",
        ),
        wrong(
            "np.minimum(light + (white - share), white)",
            "np.minimum(light, white)",
            "premultiplied colours are put on black",
            "tests/model/images/test_tiff_options.py",
        ),
    ],
    "model/images/tiff.py": [
        wrong(
            "        levels = 255 - levels\n",
            "        pass\n",
            "a TIFF in which white is 0 is a negative",
            "tests/model/images/test_tiff_options.py",
        ),
        wrong(
            "        if not page.subfiletype & (_REDUCED | _MASK):",
            "        if True:",
            "the thumbnail in front of a picture is read",
        ),
        worse(
            "        check_size(page.imagewidth, page.imagelength, max_pixels)\n",
            "",
            "a huge TIFF is decompressed",
            "tests/model/images/test_decode.py",
        ),
        wrong(
            "    if bits == 16:\n        return from_16_bit(samples)",
            "    if bits >= 9:\n        return from_16_bit(samples)",
            "12 bits are black",
            "tests/model/images/test_tiff_options.py",
        ),
    ],
    "model/images/tiff_segments.py": [
        wrong(
            "not 0 < offset < offset + length <= len(data)",
            "not 0 < offset",
            "strips beyond the end of the file are read",
        ),
        worse(
            "if page.compression != 1 and size > 16 * (width * height + _SMALL):",
            "if False:",
            "a tile of gigabytes is decompressed for one pixel",
        ),
        wrong(
            "number=plane * page.imagedepth * down * across + place",
            "number=place",
            "all planes are the first",
            "tests/model/images/test_tiff_options.py",
        ),
    ],
    "model/images/tiff_codecs.py": [
        wrong(
            'order: Any = "=" if predictor == 3 else page.parent.byteorder',
            "order: Any = page.parent.byteorder",
            "floats of big-endian files with predictor are noise",
            "tests/model/images/test_tiff_options.py",
        ),
        wrong(
            "transformed = None if page.photometric == 2 and jfif else page.photometric == YCBCR",
            "transformed = None",
            "a JPEG of RGB in a TIFF has other colours",
        ),
        worse(
            "    _check_inside(frame.height, frame.width, segment)\n",
            "",
            "a JPEG of gigabytes in a small TIFF is decompressed",
        ),
    ],
    "model/images/tiff_colours.py": [
        wrong(
            "if colours.max(initial=0) > 255 else",
            "if True else",
            "colour maps of 8 bits are black",
        ),
    ],
    "model/images/fax.py": [
        wrong(
            "whole = np.array_equal(bits[-1:], last)",
            "whole = True",
            "rows that were not decoded are memory",
        ),
        wrong(
            "(strip.compression == 3 and _lines(data) < strip.rows)",
            "False",
            "rows that Group 3 lacks are made up",
        ),
    ],
    "model/images/geometry.py": [
        wrong(
            "scale = n / min(height, width)",
            "scale = n / max(height, width)",
            "the longer side becomes n pixels",
        ),
        wrong(
            "return cv2.resize(pixels, (width, height), interpolation=method)",
            "return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_NEAREST)",
            "pictures are resized without smoothing",
        ),
        wrong(
            "top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2",
            "top, left = 0, 0",
            "the corner is cropped, not the middle",
        ),
        wrong(
            "max(width, pixels.shape[1]), 255)",
            "max(width, pixels.shape[1]), 0)",
            "what a small picture lacks is black, not white",
        ),
    ],
    "model/images/dicom.py": [
        wrong(
            'return grey(255 - levels if str(header.PhotometricInterpretation) == "MONOCHROME1" else levels)',
            "return grey(levels)",
            "MONOCHROME1 is a negative",
        ),
        wrong(
            "    full = np.iinfo(frame.dtype).max if looked_up else",
            "    full = np.iinfo(frame.dtype).max if True else",
            "colours of 12 bits in 16 are dark",
            "tests/model/images/test_dicom_frames.py",
        ),
        wrong(
            "return 255 - levels if _slope_and_intercept(header)[0] < 0 else levels",
            "return levels",
            "a falling slope is a negative",
        ),
        wrong(
            "values * slope + intercept",
            "values * slope - intercept",
            "Hounsfield units are wrong",
            "tests/model/images/test_windows.py",
        ),
    ],
    "model/images/dicom_frames.py": [
        wrong(
            "return (frame << unused)",
            "return (frame << 0)",
            "what is compressed without a sign is not given one",
        ),
        wrong(
            "octets[:, sample, size - 1 - place]",
            "octets[:, sample, place]",
            "RLE of 16 bits has its bytes turned round",
        ),
        worse(
            "        _check_size(jpeg_2000_size(data), header)\n",
            "",
            "a JPEG 2000 of gigabytes in a small DICOM is decompressed",
        ),
    ],
    "model/images/preprocess.py": [
        wrong(
            "        rows /= np.tile(self.std, width)\n",
            "",
            "pixels are not divided by the standard deviation",
        ),
        wrong(
            "return max(first.arguments) if first",
            "return min(first.arguments) if first",
            "a picture is decoded smaller than the resize needs",
        ),
        wrong(
            'if names == ["resize_short", "center_crop"] else None',
            'if "center_crop" in names else None',
            "rows are left out that another operation needs",
            "tests/model/images/test_jpeg_top.py",
        ),
        worse(
            "            check_size(width, height, max_pixels)\n",
            "",
            "a narrow picture fills the memory when it is resized",
        ),
        wrong(
            "return self._geometry(part, height, width, max_pixels), whole.width, whole.height",
            "return self._geometry(part, height, width, max_pixels), width, height",
            "sizes of parts are told for those of pictures",
        ),
        wrong(
            "window=self._window, suspect=suspect)\n            part",
            "window=self._window)\n            part",
            "a part of a suspect picture is decoded in this process",
        ),
    ],
    "model/images/test_time_augmentation.py": [
        wrong(
            "    size = round(side * scale)\n",
            "    size = round(side / scale)\n",
            "a larger scale shows the picture smaller",
        ),
        wrong("*variants[0][1:]", "*variants[0][2:0:-1]", "width and height are swapped"),
    ],
    "model/digests.py": [
        wrong(
            "sort_keys=True, separators",
            "sort_keys=False, separators",
            "the same settings in another order have another digest",
        ),
        wrong(
            "    while chunk := file.read(1 << 20):\n        digest.update(chunk)\n",
            "    digest.update(file.read(1 << 20))\n",
            "only the first MiB of a file decides its digest",
        ),
    ],
    "model/measuring/retrieval_metrics.py": [
        wrong(
            "rows, columns + 1, np.arange(len(rows)) - first[rows] + 1",
            "rows, columns + 1, np.arange(len(rows)) - first[rows]",
            "precision at a hit does not count the hit",
        ),
        wrong(
            "before = np.where(ranks == 1, 1.0,",
            "before = np.where(ranks == 1, 0.0,",
            "the trapezoid of a first hit begins at 0",
        ),
        wrong(
            "np.log2(np.arange(2, grades.shape[1] + 2))",
            "np.log2(np.arange(1, grades.shape[1] + 1) + 2)",
            "the first rank is discounted",
        ),
        wrong(
            "enough = number >= -(-level * totals[rows] // (RECALL_LEVELS - 1))",
            "enough = number >= level * totals[rows] // (RECALL_LEVELS - 1)",
            "precision is told for a recall that is not reached",
        ),
        wrong(
            "depth = np.where(relevant.sum(axis=1) == totals, np.minimum(last, k), k)",
            "depth = np.minimum(last, k)",
            "a ranking that lacks relevant items is not marked down",
        ),
        worse("    if (totals < 1).any():", "    if False:", "a query without relevant items counts as NaN"),
    ],
    "model/measuring/significance.py": [
        wrong(
            "[(1 - level) / 2, (1 + level) / 2]", "[1 - level, level]", "an interval of 95 % is one of 90 %"
        ),
        wrong(
            "return _ends(after - before, level)",
            "return _ends(before - after, level)",
            "the difference has the wrong sign",
        ),
        wrong(
            "return (1 + _in_parts(rounds, len(differences), as_far).sum(axis=0)) / (1 + rounds)",
            "return _in_parts(rounds, len(differences), as_far).sum(axis=0) / rounds",
            "p may be 0",
        ),
        wrong(
            "np.abs(signs @ differences) >= seen", "(signs @ differences) >= seen", "the test is one-sided"
        ),
    ],
}

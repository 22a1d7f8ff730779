"""Which format a file is in, by its bytes and never by its name: what is read, and the names of what is not.

Signatures are those of the formats' own specifications, and where these give none, of file(1)'s magic.
"""

from __future__ import annotations

import re

from ..errors import ImageError

_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
"""Sizes there are of the header behind that of the file: two letters are too few, text may begin with BM."""

_READ: tuple[tuple[str, int, tuple[bytes, ...]], ...] = (
    ("JPEG", 0, (b"\xff\xd8",)),
    ("PNG", 0, (b"\x89PNG\r\n\x1a\n",)),
    ("GIF", 0, (b"GIF87a", b"GIF89a")),
    ("WebP", 8, (b"WEBP",)),
    ("JPEG 2000", 0, (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")),
    ("JPEG XL", 0, (b"\0\0\0\x0cJXL \r\n\x87\n", b"\xff\x0a")),
    ("QOI", 0, (b"qoif",)),
    ("OpenEXR", 0, (b"\x76\x2f\x31\x01",)),
    ("ICO", 0, tuple(b"\0\0\1\0" + bytes((n, 0)) for n in range(1, 256))),
    ("PNM", 0, tuple(b"P%d%c" % (n, space) for n in range(1, 7) for space in b" \t\r\n#")),
)
"""Name, offset, what stands there. DICOM, TIFF, BMP, AVIF and HEIC are told by more than that."""

_NOT_READ: tuple[tuple[str, int, tuple[bytes, ...]], ...] = (
    ("a Canon raw photograph (CR2)", 0, (b"II*\0\x10\0\0\0CR\2",)),
    ("a Canon raw photograph (CRW)", 6, (b"HEAPCCDR",)),
    ("a Fujifilm raw photograph (RAF)", 0, (b"FUJIFILMCCD-RAW",)),
    ("an Olympus raw photograph (ORF)", 0, (b"IIRO", b"IIRS", b"MMOR")),
    ("a Panasonic raw photograph (RW2)", 0, (b"IIU\0",)),
    ("a Sigma raw photograph (X3F)", 0, (b"FOVb",)),
    ("a Minolta raw photograph (MRW)", 0, (b"\0MRM",)),
    ("a Photoshop file (PSD)", 0, (b"8BPS",)),
    ("a GIMP file (XCF)", 0, (b"gimp xcf",)),
    ("a Paint Shop Pro file (PSP)", 0, (b"Paint Shop Pro Image File",)),
    ("a CorelDraw file (CDR)", 8, (b"CDR", b"cdr")),
    ("a PostScript file (EPS)", 0, (b"%!PS", b"%!\n", b"%!\r", b"\xc5\xd0\xd3\xc6")),
    ("a PDF document", 0, (b"%PDF",)),
    ("a DjVu document", 0, (b"AT&TFORM",)),
    ("a Radiance file (HDR)", 0, (b"#?RADIANCE", b"#?RGBE")),
    ("a JPEG XR file", 0, (b"II\xbc\x01",)),
    ("a DirectDraw surface (DDS)", 0, (b"DDS ",)),
    ("a Khronos texture (KTX)", 0, (b"\xabKTX",)),
    ("a Windows metafile (WMF)", 0, (b"\xd7\xcd\xc6\x9a", b"\1\0\x09\0\0\3", b"\1\0\x09\0\0\1")),
    ("a Windows metafile (EMF)", 40, (b" EMF",)),
    ("a bitmap without its file header (DIB)", 0, (b"\x28\0\0\0",)),
    ("a Utah raster (RLE)", 0, (b"\x52\xcc",)),
    ("a PCX file", 0, tuple(bytes((10, v, 1, b)) for v in (0, 2, 3, 4, 5) for b in (1, 2, 4, 8))),
    ("a Windows cursor (CUR)", 0, tuple(b"\0\0\2\0" + bytes((n, 0)) for n in range(1, 256))),
    ("an animated Windows cursor (ANI)", 8, (b"ACON",)),
    ("an Apple icon (ICNS)", 0, (b"icns",)),
    ("an MNG animation", 0, (b"\x8aMNG\r\n\x1a\n",)),
    ("a JNG file", 0, (b"\x8bJNG\r\n\x1a\n",)),
    ("a portable arbitrary map (PAM)", 0, (b"P7\n",)),
    ("a portable float map (PFM)", 0, (b"PF\n", b"Pf\n", b"PF\r", b"Pf\r")),
    ("an X pixmap (XPM)", 0, (b"/* XPM */",)),
    ("a Sun raster file", 0, (b"\x59\xa6\x6a\x95",)),
    ("an SGI file", 0, tuple(b"\1\xda" + bytes((r, b)) for r in (0, 1) for b in (1, 2))),
    ("a DPX file", 0, (b"SDPX", b"XPDS")),
    ("a Cineon file", 0, (b"\x80\x2a\x5f\xd7",)),
    ("an Amiga picture (ILBM)", 8, (b"ILBM", b"PBM ")),
    ("an X window dump (XWD)", 4, (b"\0\0\0\7\0\0\0\2",)),
    ("an ASTC texture", 0, (b"\x13\xab\xa1\x5c",)),
    ("a PowerVR texture (PVR)", 0, (b"PVR\3",)),
    ("a Valve texture (VTF)", 0, (b"VTF\0",)),
    ("a MATLAB file", 0, (b"MATLAB 5.0 MAT-file",)),
    ("a Blender file", 0, (b"BLENDER",)),
    ("an InDesign document", 0, (b"\x06\x06\xed\xf5\xd8\x1d\x46\xe5",)),
    ("a Clip Studio file", 0, (b"CSFCHUNK",)),
    ("an AutoCAD drawing (DWG)", 0, tuple(b"AC10%02d" % n for n in (9, 12, 14, 15, 18, 21, 24, 27, 32))),
    ("a QuickDraw picture (PICT)", 522, (b"\0\x11\2\xff\x0c\0", b"\x11\1")),
    ("a Softimage picture (PIC)", 0, (b"\x53\x80\xf6\x34",)),
    ("a Photo CD picture (PCD)", 2048, (b"PCD_IPI", b"PCD_OPA")),
    ("a MIFF file", 0, (b"id=ImageMagick",)),
    ("a Farbfeld picture", 0, (b"farbfeld",)),
    ("a VIPS picture", 0, (b"\x08\xf2\xa6\xb6", b"\xb6\xa6\xf2\x08")),
    ("an XV thumbnail", 0, (b"P7 332",)),
    ("an MRC volume", 208, (b"MAP ",)),
    (
        "a DICOM file without its preamble",
        0,
        (b"\x08\0\5\0CS", b"\x08\0\x08\0CS", b"\x08\0\0\0\4\0\0\0", b"\2\0\0\0UL\4\0"),
    ),
    ("a FLIF file", 0, (b"FLIF",)),
    ("a BPG file", 0, (b"BPG\xfb",)),
    ("a JBIG2 file", 0, (b"\x97JB2\r\n\x1a\n",)),
    ("a BLP texture", 0, (b"BLP1", b"BLP2")),
    ("a FITS file", 0, (b"SIMPLE  =",)),
    ("a NIfTI volume", 344, (b"n+1\0", b"ni1\0")),
    ("a NIfTI volume", 4, (b"n+2\0", b"ni2\0")),
    ("an NRRD volume", 0, (b"NRRD000",)),
    ("a MetaImage volume", 0, (b"ObjectType =",)),
    ("an HDF5 file", 0, (b"\x89HDF\r\n\x1a\n",)),
    ("a NetCDF file", 0, (b"CDF\1", b"CDF\2", b"CDF\5")),
    ("a NumPy array", 0, (b"\x93NUMPY",)),
    ("a Zeiss microscope file (CZI)", 0, (b"ZISRAWFILE",)),
    ("a Nikon microscope file (ND2)", 0, (b"\xda\xce\xbe\x0a",)),
    ("a video (AVI)", 8, (b"AVI ",)),
    ("a video (Matroska or WebM)", 0, (b"\x1aE\xdf\xa3",)),
    ("a video (MPEG)", 0, (b"\0\0\1\xba", b"\0\0\1\xb3")),
    ("a video (Windows Media)", 0, (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",)),
    ("a video (Flash)", 0, (b"FLV\1",)),
    ("a video (QuickTime)", 4, (b"moov", b"mdat", b"wide", b"skip", b"free")),
    ("a sound file (WAV)", 8, (b"WAVE",)),
    ("a sound file (AIFF)", 8, (b"AIFF", b"AIFC")),
    ("a sound file (MP3)", 0, (b"ID3", b"\xff\xfb", b"\xff\xf3")),
    ("a sound file (FLAC)", 0, (b"fLaC",)),
    ("a sound or video file (Ogg)", 0, (b"OggS",)),
    ("a gzip archive", 0, (b"\x1f\x8b",)),
    ("a 7z archive", 0, (b"7z\xbc\xaf\x27\x1c",)),
    ("a RAR archive", 0, (b"Rar!\x1a\x07",)),
    ("an xz archive", 0, (b"\xfd7zXZ\0",)),
    ("a bzip2 archive", 0, tuple(b"BZh%d" % n for n in range(1, 10))),
    ("a Zstandard archive", 0, (b"\x28\xb5\x2f\xfd",)),
    ("a tar archive", 257, (b"ustar",)),
    ("an Office document of before 2007, or another OLE file", 0, (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",)),
    ("an RTF document", 0, (b"{\\rtf",)),
    ("an SQLite database", 0, (b"SQLite format 3",)),
    ("a Parquet file", 0, (b"PAR1",)),
    ("a property list", 0, (b"bplist00",)),
    ("a program", 0, (b"\x7fELF", b"MZ\x90\0")),
    ("side data of macOS (AppleDouble)", 0, (b"\0\5\x16\7", b"\0\5\x16\0")),
    ("a Windows shortcut", 0, (b"L\0\0\0\1\x14\2\0",)),
)
"""The same of what is not read, with its article."""

_OFFICE = ((b"word/", "a Word document"), (b"xl/", "an Excel document"), (b"ppt/", "a PowerPoint document"))
_AVIF, _HEIC = (
    (b"avif", b"avis"),
    (*(b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1", b"mif2"),),
)


def format_of(data: bytes) -> str:
    """The name of a format that is read.

    Raises:
        ImageError: it is none of them; which, where that is known.
    """
    if not data:
        raise ImageError("empty file")
    # Before all others: the 128 bytes in front are free, and in some files the head of a TIFF.
    if data[128:132] == b"DICM":
        return "DICOM"
    if name := _found(data, _READ):
        return name
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")) and data[8:11] != b"CR\2":
        return "TIFF"
    if data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    brands = _brands(data)
    for name, among in (("AVIF", _AVIF), ("HEIC", _HEIC)):
        if any(brand in among for brand in brands) and brands[0] != b"crx ":
            return name
    raise ImageError(_other(data, brands))


def _brands(data: bytes) -> list[bytes]:
    """Of an ISO media file (ISO/IEC 14496-12, 4.3) the brands, the major one first; empty of other files."""
    if data[4:8] != b"ftyp":
        return []
    end = min(int.from_bytes(data[:4], "big"), len(data), 256)
    return [data[8:12], *(data[at : at + 4] for at in range(16, end - 3, 4))]


def _found(data: bytes, signatures: tuple[tuple[str, int, tuple[bytes, ...]], ...]) -> str:
    in_riff = data.startswith((b"RIFF", b"FORM"))
    return next(
        (name for name, at, starts in signatures if data.startswith(starts, at) and (at != 8 or in_riff)), ""
    )


def _other(data: bytes, brands: list[bytes]) -> str:
    """A sentence for what is none of the formats that are read."""
    if what := _found(data, _NOT_READ):
        return f"{what}, which is not supported"
    if brands:
        return f"{_media(brands[0])}, which is not supported"
    if data.startswith(b"PK\3\4"):
        return f"{_zipped(data)}, which is not supported"
    if data[-18:-1] == b"TRUEVISION-XFILE." or _is_old_targa(data[:18]):
        return "a Targa file (TGA), which is not supported"
    if _is_wbmp(data):
        return "a wireless bitmap (WBMP), which is not supported"
    if data.startswith(b"BM") and not any(data[6:10]):
        return "a BMP with a header of its own, which is not supported"
    if not data.strip(b"\0"):
        return "nothing but zero bytes"
    if (at := data.find(b"\xff\xd8\xff", 0, 1024)) > 0:
        return f"a JPEG with {at} other bytes before it, which is not supported"
    return _text(data) or f"no format that is known: it starts with the bytes {data[:8].hex(' ')}"


def _is_old_targa(head: bytes) -> bool:
    """Whether a header of 18 bytes can be that of a Targa file, which before version 2 has no signature."""
    return (
        len(head) == 18
        and head[2] in (1, 2, 3, 9, 10, 11)
        and head[1] == (head[2] in (1, 9))
        and (head[1] == 1 or not any(head[3:8]))
        and head[16] in (1, 8, 15, 16, 24, 32)
        and any(head[12:14])
        and any(head[14:16])
        and head[17] & 0xC0 == 0
    )


def _is_wbmp(data: bytes) -> bool:
    """Whether it is one of less than 128 pixels a side, of which there is no more than their bits: WAP-237, 4."""
    return data[:2] == b"\0\0" and len(data) > 4 and len(data) == 4 + data[3] * (-(-data[2] // 8))


def _media(brand: bytes) -> str:
    if brand == b"crx ":
        return "a Canon raw photograph (CR3)"
    if brand == b"qt  ":
        return "a video (QuickTime)"
    if brand in (b"M4A ", b"M4B ", b"M4P "):
        return "a sound file (MP4)"
    return f"a video (MP4, {brand.decode('latin-1')!r})"


def _zipped(data: bytes) -> str:
    names = data[: 1 << 14]
    if b"mimetypeapplication/vnd.oasis.opendocument" in names:
        return "an OpenDocument file"
    if b"mimetypeimage/openraster" in names or b"mimetypeapplication/x-krita" in names:
        return "a layered drawing (OpenRaster or Krita)"
    if b"mimetypeapplication/epub" in names:
        return "an EPUB book"
    return next((what for part, what in _OFFICE if part in data), "a ZIP archive")


def _text(data: bytes) -> str:
    """Which text it is; empty for what is none."""
    head = data[:1024]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = head[: len(head) // 2 * 2].decode("utf-16", "replace")
    else:
        try:
            text = head.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = head.decode("cp1252", "replace")
    if any((ord(letter) < 32 and letter not in "\t\r\n\f") or letter == "\ufffd" for letter in text):
        return ""
    text = text.strip()
    if text.startswith("version https://git-lfs"):
        return "a Git LFS pointer instead of the image itself"
    if re.match(r"#define\s+\w*_?width\s+\d", text):
        return "an X bitmap (XBM), which is not supported"
    lower = text.lower()
    if lower.startswith(("<!doctype html", "<html", "<head", "<body")):
        return "an HTML page instead of an image"
    if "<svg" in lower:
        return "an SVG drawing, which is not supported"
    if lower.startswith("<") and "<html" in lower:
        return "an HTML page instead of an image"
    if lower.startswith("<"):
        return "an XML document instead of an image"
    if text.startswith(("{", "[")) and text[1:].lstrip()[:1] in ('"', "{", "[", "}", "]"):
        return "a JSON document instead of an image"
    return (
        f"text instead of an image: it starts with {text[:16]!r}"
        if text
        else "white space instead of an image"
    )

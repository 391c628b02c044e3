"""crypt(3) by libxcrypt, which the system has: DES, MD5, SHA-2, bcrypt and yescrypt. Python 3.13 has no crypt module any more."""

import ctypes
import ctypes.util
import hmac
from functools import cache
from typing import Any

DATA_BYTES = 32_768  # sizeof(struct crypt_data), crypt(3)
MAX_PASSWORD = 512  # bytes, CRYPT_MAX_PASSPHRASE_SIZE
UNUSABLE = ("!", "*", "##")
NOBODY = "$6$aaaaaaaaaaaaaaaa$" + "x" * 86  # what a name that nobody has is compared with


@cache
def _library() -> Any:
    library = ctypes.CDLL(ctypes.util.find_library("crypt") or "libcrypt.so.1")
    library.crypt_rn.restype = ctypes.c_char_p
    library.crypt_rn.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int]
    library.crypt_gensalt.restype = ctypes.c_char_p
    library.crypt_gensalt.argtypes = [ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p, ctypes.c_int]
    return library


def is_usable(hashed: str) -> bool:
    """Tell whether any password could fit: locked accounts and references to other maps are no hashes."""
    return bool(hashed) and hashed != "x" and not hashed.startswith(UNUSABLE)


def fits(password: str, hashed: str) -> bool:
    """Tell whether a password fits a hash, in the time that a hash takes also where there is none."""
    stored = hashed if is_usable(hashed) else NOBODY
    typed = password.encode("utf-8", "replace")
    if not typed or len(typed) > MAX_PASSWORD or b"\0" in typed:
        return False
    made = _library().crypt_rn(
        typed, stored.encode("ascii", "replace"), ctypes.create_string_buffer(DATA_BYTES), DATA_BYTES
    )
    same = bool(made) and not made.startswith(b"*") and hmac.compare_digest(made, stored.encode("ascii", "replace"))
    return same and stored == hashed


def make(password: str, method: str) -> str:
    """Hash a password by a method's prefix: "$y$" yescrypt, "$6$" SHA-512, "" DES."""
    salt = _library().crypt_gensalt(method.encode(), 0, None, 0)
    made = _library().crypt_rn(password.encode(), salt, ctypes.create_string_buffer(DATA_BYTES), DATA_BYTES)
    return str(made.decode("ascii"))

"""AsyncSSH with one user and one folder: PORT FOLDER HOST_KEY USER PASSWORD HABIT…

Habits of servers that are seen elsewhere:
bare       a listing has names only
untyped    a listing tells neither type nor time
extended   attributes carry one of an extension
pick-up    a file is removed when it is closed after it was read to its end
latin-1    a listing has a name that is no UTF-8
"""

import asyncio
import os
import sys

import asyncssh

PORT, FOLDER, HOST_KEY, USER, PASSWORD, *HABITS = sys.argv[1:]


class Login(asyncssh.SSHServer):
    def password_auth_supported(self):
        return True

    def validate_password(self, username, password):
        return (username, password) == (USER, PASSWORD)


class Files(asyncssh.SFTPServer):
    def __init__(self, channel):
        super().__init__(channel, chroot=FOLDER.encode())
        self.read_to = {}

    async def scandir(self, path):
        async for entry in super().scandir(path):
            if "bare" in HABITS:
                entry = asyncssh.SFTPName(entry.filename, b"", asyncssh.SFTPAttrs())
            elif "untyped" in HABITS:
                attributes = asyncssh.SFTPAttrs(size=entry.attrs.size, permissions=0o644)
                entry = asyncssh.SFTPName(entry.filename, b"", attributes)
            if "extended" in HABITS:
                entry.attrs.extended = [(b"acl@example.com", b"none"), (b"tag@example.com", b"")]
            yield entry
        if "latin-1" in HABITS:
            attributes = asyncssh.SFTPAttrs(size=1, permissions=0o100644, atime=1, mtime=1)
            yield asyncssh.SFTPName(b"r\xe9sum\xe9.csv", b"", attributes)

    def read(self, file_obj, offset, size):
        data = super().read(file_obj, offset, size)
        self.read_to[file_obj] = max(self.read_to.get(file_obj, 0), offset + len(data))
        return data

    def close(self, file_obj):
        is_whole = self.read_to.pop(file_obj, 0) == os.fstat(file_obj.fileno()).st_size
        super().close(file_obj)
        if "pick-up" in HABITS and is_whole:
            os.remove(file_obj.name)


async def main():
    await asyncssh.create_server(Login, "127.0.0.1", int(PORT), server_host_keys=[HOST_KEY], sftp_factory=Files)
    print("serving", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())

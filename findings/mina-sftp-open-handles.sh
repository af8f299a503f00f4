#!/usr/bin/env bash
# One would guess: where an SFTP server limits how many files a session may hold open, the one too many gets "failure", and the message
# names the limit. SFTP 3, the version that OpenSSH speaks, has no code that says more.
# What happens: Apache MINA SSHD answers status 14 of a later version, "no space on filesystem", also to a client of version 3, and its
# own message, "Too many open handles", stays behind: the client is told "No space left on device", with the disk far from full.
# AsyncSSH raises SFTPNoSpaceOnFilesystem, Paramiko an OSError without a number. After a file is closed, the next one opens.
# Since: seen on sshd-sftp 2.20.0, with AsyncSSH 2.24.1 and Paramiko 5.1.0. The limit is off until one sets it.
# Source: generateFileHandle in org.apache.sshd.sftp.server.SftpSubsystem; the property max-open-handles-per-session in
# SftpModuleProperties. draft-ietf-secsh-filexfer-02, section 7 (codes 0 to 8); -13, section 9.1 (14: no free space on the filesystem).
# Needs a JDK and Maven beside Python.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet asyncssh==2.24.1 paramiko==5.1.0
cat > pom.xml <<'XML'
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>finding</groupId>
  <artifactId>open-handles</artifactId>
  <version>0</version>
  <dependencies>
    <dependency><groupId>org.apache.sshd</groupId><artifactId>sshd-sftp</artifactId><version>2.20.0</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
XML
mvn --quiet --batch-mode -Dmaven.repo.local="$folder/maven" \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DoutputDirectory=jars
cat > Server.java <<'JAVA'
import java.nio.file.Path;
import java.util.List;

import org.apache.sshd.common.file.virtualfs.VirtualFileSystemFactory;
import org.apache.sshd.server.SshServer;
import org.apache.sshd.server.auth.password.AcceptAllPasswordAuthenticator;
import org.apache.sshd.server.keyprovider.SimpleGeneratorHostKeyProvider;
import org.apache.sshd.sftp.SftpModuleProperties;
import org.apache.sshd.sftp.server.SftpSubsystemFactory;

public class Server {
    public static void main(String[] args) throws Exception {
        SshServer server = SshServer.setUpDefaultServer();
        server.setHost("127.0.0.1");
        server.setKeyPairProvider(new SimpleGeneratorHostKeyProvider());
        server.setPasswordAuthenticator(AcceptAllPasswordAuthenticator.INSTANCE);
        server.setSubsystemFactories(List.of(new SftpSubsystemFactory()));
        server.setFileSystemFactory(new VirtualFileSystemFactory(Path.of("files").toAbsolutePath()));
        SftpModuleProperties.MAX_OPEN_HANDLES_PER_SESSION.set(server, 2);
        server.start();
        System.out.println(server.getVersion() + " " + server.getPort());
        while (System.in.read() >= 0) {
        }
        server.stop(true);
    }
}
JAVA
mkdir files
for name in first second third; do echo rows > "files/$name"; done

venv/bin/python - <<'PYTHON' | tee found
import asyncio
import shutil
import subprocess

import asyncssh
import paramiko


async def with_asyncssh(port):
    login = {"username": "any", "password": "any", "known_hosts": None, "client_keys": None, "config": None}
    async with asyncssh.connect("127.0.0.1", port, **login) as connection, connection.start_sftp_client() as sftp:
        files = [await sftp.open(name, "rb") for name in ("first", "second")]
        try:
            await sftp.open("third", "rb")
        except asyncssh.SFTPError as error:
            print(f"asyncssh, SFTP {sftp.version}: {type(error).__name__}, {error.code}, {error.reason}")
        await files[0].close()
        await sftp.open("third", "rb")
        print("asyncssh: with one file closed the third is open")


def with_paramiko(port):
    with paramiko.Transport(("127.0.0.1", port)) as transport:
        transport.connect(username="any", password="any")
        sftp = paramiko.SFTPClient.from_transport(transport)
        files = [sftp.open(name) for name in ("first", "second")]
        try:
            sftp.open("third")
        except OSError as error:
            print(f"paramiko: {type(error).__name__}, {error.errno}, {error}, with {len(files)} files open")


print("asyncssh", asyncssh.__version__, "paramiko", paramiko.__version__)
java = ["java", "-cp", "jars/*", "Server.java"]
# The server ends when its input does.
with subprocess.Popen(java, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
    version, port = server.stdout.readline().split()
    print(version)
    asyncio.run(with_asyncssh(int(port)))
    with_paramiko(int(port))
print("the disk has free space:", shutil.disk_usage("files").free > 0)
PYTHON
diff found - <<'EXPECTED'
asyncssh 2.24.1 paramiko 5.1.0
APACHE-SSHD-2.20.0
asyncssh, SFTP 3: SFTPNoSpaceOnFilesystem, 14, No space left on device
asyncssh: with one file closed the third is open
paramiko: OSError, None, No space left on device, with 2 files open
the disk has free space: True
EXPECTED
echo "as described"

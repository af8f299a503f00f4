import java.nio.file.Path;
import java.util.List;
import org.apache.sshd.common.PropertyResolverUtils;
import org.apache.sshd.common.file.virtualfs.VirtualFileSystemFactory;
import org.apache.sshd.common.keyprovider.FileKeyPairProvider;
import org.apache.sshd.server.SshServer;
import org.apache.sshd.sftp.server.SftpSubsystemFactory;

/** Apache MINA SSHD with one user and one folder: PORT FOLDER HOST_KEY USER PASSWORD PROPERTY=VALUE… */
class Mina {
    public static void main(String[] args) throws Exception {
        SshServer server = SshServer.setUpDefaultServer();
        server.setHost("127.0.0.1");
        server.setPort(Integer.parseInt(args[0]));
        server.setFileSystemFactory(new VirtualFileSystemFactory(Path.of(args[1])));
        server.setKeyPairProvider(new FileKeyPairProvider(Path.of(args[2])));
        server.setPasswordAuthenticator((user, password, session) -> user.equals(args[3]) && password.equals(args[4]));
        server.setSubsystemFactories(List.of(new SftpSubsystemFactory()));
        for (String property : List.of(args).subList(5, args.length)) {
            String[] pair = property.split("=", 2);
            PropertyResolverUtils.updateProperty(server, pair[0], pair[1]);
        }
        server.start();
        System.out.println("serving");
        Thread.currentThread().join();
    }
}

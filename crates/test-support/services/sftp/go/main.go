// Go's SFTP server with one user and one folder: PORT FOLDER HOST_KEY USER PASSWORD
package main

import (
	"errors"
	"fmt"
	"log"
	"net"
	"os"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

func main() {
	port, folder, hostKey, user, password := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	config := &ssh.ServerConfig{
		PasswordCallback: func(connection ssh.ConnMetadata, given []byte) (*ssh.Permissions, error) {
			if connection.User() == user && string(given) == password {
				return nil, nil
			}
			return nil, errors.New("refused")
		},
	}
	pem, err := os.ReadFile(hostKey)
	if err != nil {
		log.Fatal(err)
	}
	key, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		log.Fatal(err)
	}
	config.AddHostKey(key)
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("serving")
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(connection, config, folder)
	}
}

func serve(connection net.Conn, config *ssh.ServerConfig, folder string) {
	_, channels, requests, err := ssh.NewServerConn(connection, config)
	if err != nil {
		log.Print(err)
		return
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		channel, requests, err := offered.Accept()
		if err != nil {
			log.Print(err)
			return
		}
		go func() {
			for request := range requests {
				if err := request.Reply(request.Type == "subsystem", nil); err != nil {
					log.Print(err)
				}
			}
		}()
		server, err := sftp.NewServer(channel, sftp.WithServerWorkingDirectory(folder))
		if err != nil {
			log.Print(err)
			return
		}
		go func() {
			log.Print(server.Serve())
			channel.Close()
		}()
	}
}

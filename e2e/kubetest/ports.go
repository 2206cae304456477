package kubetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports are taken from below the range that the kernel gives to outgoing connections (from 32768): one of those would
// otherwise sit on the port of a server that a test has killed and wants to start again.
const firstPort, lastPort = 20000, 32000

// portTries bounds the search for free ports.
const portTries = 1000

// freePorts finds n ports that nobody listens on now. Somebody may before they are used: who starts servers on them
// tries again with others.
func freePorts(n int) ([]int, error) {
	var ports []int
	var held []net.Listener // so that no port is found twice
	defer func() {
		for _, l := range held {
			l.Close()
		}
	}()
	for range portTries {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", firstPort+rand.IntN(lastPort-firstPort)))
		if err != nil {
			continue
		}
		held = append(held, l)
		if ports = append(ports, l.Addr().(*net.TCPAddr).Port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, errors.New("no free port on 127.0.0.1 between 20000 and 32000: end what listens there")
}

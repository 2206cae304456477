package kubetest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// headerPatience bounds how long the API server may take to say what it wants.
const headerPatience = 10 * time.Second

// kubeletServer is the part of a kubelet's API that the API server asks for logs.
type kubeletServer struct {
	node   *HostNode
	port   int
	server *http.Server
	served chan error
}

func serveKubelet(n *HostNode) (*kubeletServer, error) {
	pair, err := n.cluster.ca.server(n.Name)
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(pair.cert, pair.key)
	if err != nil {
		return nil, err
	}
	clients := x509.NewCertPool()
	clients.AddCert(n.cluster.ca.cert)
	listener, err := net.Listen("tcp", loopback+":0")
	if err != nil {
		return nil, err
	}
	k := &kubeletServer{node: n, port: listener.Addr().(*net.TCPAddr).Port, served: make(chan error, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", k.logs)
	k.server = &http.Server{Handler: mux, ReadHeaderTimeout: headerPatience}
	secure := tls.NewListener(listener, &tls.Config{
		Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12,
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients, // others on this machine have no business here
	})
	go func() { k.served <- k.server.Serve(secure) }()
	return k, nil
}

func (k *kubeletServer) close() error {
	err := k.server.Close()
	if served := <-k.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// logs answers GET …/log of a Pod: tailLines, limitBytes and follow are heeded; all restarts are in one log.
func (k *kubeletServer) logs(w http.ResponseWriter, r *http.Request) {
	if !k.node.connected() {
		http.Error(w, "node "+k.node.Name+" is lost", http.StatusServiceUnavailable)
		return
	}
	c := k.node.container(r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("container"))
	if c == nil {
		http.Error(w, fmt.Sprintf("no container %s in Pod %s on this node", r.PathValue("container"), r.PathValue("pod")), http.StatusNotFound)
		return
	}
	file, err := os.Open(c.logPath())
	if errors.Is(err, fs.ErrNotExist) { // in the kubelet's words
		http.Error(w, fmt.Sprintf("container %q in pod %q is waiting to start: %s", c.spec.Name, r.PathValue("pod"), c.waiting()), http.StatusBadRequest)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer file.Close()
	text, err := io.ReadAll(file)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	query := r.URL.Query()
	text = tail(text, query.Get("tailLines"))
	if limit, err := strconv.Atoi(query.Get("limitBytes")); err == nil && limit < len(text) {
		text = text[:limit]
	}
	w.Header().Set("Content-Type", "text/plain")
	if _, err := w.Write(text); err != nil {
		return // the reader has gone
	}
	if follow, err := strconv.ParseBool(query.Get("follow")); err == nil && follow {
		c.follow(r.Context(), w, file)
	}
}

// tail is the last n lines; all of them if n is no number.
func tail(text []byte, n string) []byte {
	count, err := strconv.Atoi(n)
	if err != nil {
		return text
	}
	lines := strings.SplitAfter(string(text), "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return []byte(strings.Join(lines[max(0, len(lines)-count):], ""))
}

// follow passes on what is added to a log until the container has ended for good.
func (c *container) follow(ctx context.Context, w http.ResponseWriter, file io.Reader) {
	control := http.NewResponseController(w)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for last := false; ; {
		if _, err := io.Copy(w, file); err != nil || control.Flush() != nil || last {
			return
		}
		select {
		case <-c.over: // and once more, for what it said at the end
			last = true
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (n *HostNode) connected() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.offline != nil
}

// container finds a container by its Pod's name; of several Pods of one name, the one that still runs.
func (n *HostNode) container(namespace, pod, name string) *container {
	n.mu.Lock()
	defer n.mu.Unlock()
	var found *container
	for _, run := range n.pods {
		object, removed, _ := run.seen()
		if object.Namespace != namespace || object.Name != pod || removed && found != nil {
			continue
		}
		for _, c := range run.containers() {
			if c.spec.Name == name {
				found = c
			}
		}
	}
	return found
}

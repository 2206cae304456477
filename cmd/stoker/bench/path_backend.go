package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// A stream is as long as a short answer of a language model.
const (
	streamChunks = 256
	streamChunk  = "data: {\"token\":\"0123456789abcdef\"}\n\n"
)

// Backend is the trivial model server: it sends requests back, and streams chunks as fast as
// they are taken. It listens on $PORT and writes its address to a file, for those who ask it
// directly. It runs as a process of its own.
func Backend(ctx context.Context, addressFile string) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", os.Getenv("PORT")))
	if err != nil {
		return fmt.Errorf("listen on $PORT: %w", err)
	}
	if err := writeAddress(addressFile, ln.Addr().String()); err != nil {
		return errors.Join(err, ln.Close())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /{$}", echo)
	mux.HandleFunc("POST "+streamPath, stream)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = srv.Close() })()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// writeAddress replaces the file as a whole.
func writeAddress(path, address string) error {
	temp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	if err := os.WriteFile(temp, []byte(address), 0o600); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

func stream(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	for range streamChunks {
		if _, err := io.WriteString(w, streamChunk); err != nil {
			return
		}
		if err := out.Flush(); err != nil {
			return
		}
	}
}

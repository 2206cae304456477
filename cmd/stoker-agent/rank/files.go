package rank

import (
	"fmt"
	"io"
	"os"

	"stoker.dev/stoker/events"
)

// AskToSave makes the file that asks for a checkpoint. The program removes it when it takes that up;
// until then, asking again changes nothing.
func AskToSave(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if os.IsExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("ask for a checkpoint: %w", err)
	}
	return f.Close()
}

// LastWords is the program's error file as it stands, cut at [events.MaxRankError] bytes; nothing if
// there is none that can be read.
func LastWords(path string) ([]byte, error) {
	f, err := openRegular(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the error file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, events.MaxRankError))
	if err != nil {
		return data, fmt.Errorf("read the error file: %w", err)
	}
	return data, nil
}

package page

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"

	"stoker.dev/stoker/cmd/stoker/simulate"
)

// Drawing is a page in the making. A nil one draws nothing.
type Drawing struct {
	path     string
	file     *os.File // beside the path until the page is whole
	options  simulate.Options
	recorded *Recorder
}

// Begin has a run's options tell the page what it draws. The options have Settings. It fails
// before the run where the file cannot be written; an empty path: no page.
func Begin(path string, o *simulate.Options) (*Drawing, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // a nil drawing draws nothing
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return nil, err
	}
	d := &Drawing{path: path, file: f, options: *o, recorded: NewRecorder(o.Settings)}
	o.Timeline, o.Arrived = d.recorded.Of, d.recorded.Arrive
	return d, nil
}

// End writes the page, as a whole or not at all; where there is nothing to show, what stood
// at the path stays.
func (d *Drawing) End(report simulate.Report, show bool) error {
	if d == nil {
		return nil
	}
	defer os.Remove(d.file.Name()) // gone already once renamed
	if !show {
		return d.file.Close()
	}
	w := bufio.NewWriter(d.file)
	err := Write(w, Run{
		Trace: filepath.Base(d.options.Trace), Settings: d.options.Settings, Price: d.options.Profile.Price,
		Pool: d.options.Profile.Pool, Seed: d.options.Seed,
	}, report, d.recorded)
	if err := errors.Join(err, w.Flush(), d.file.Chmod(pageMode), d.file.Close()); err != nil {
		return err
	}
	return os.Rename(d.file.Name(), d.path)
}

// pageMode lets everybody read it, as a browser of another user must.
const pageMode = 0o644

package supervise

import (
	"errors"
	"io"
	"os"
)

// logLimit is the size at which a log is turned over; one older file is kept.
const logLimit = 4 << 20

// selfName is the supervisor's own name among the logs.
const selfName = "supervisor"

// bound turns a log over that has grown too large. The file is copied and then
// emptied, because its writer, which no supervisor may disturb, keeps it open
// for appending. Lines that come between the two are lost.
func (s *Supervisor) bound(name string) {
	path := s.dir.LogPath(name)
	info, err := os.Stat(path)
	if err != nil || info.Size() < logLimit {
		return
	}
	if err := turnOver(path); err != nil {
		s.log.Error("log not turned over", "log", path, "err", err)
	}
}

func turnOver(path string) error {
	from, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, io.LimitReader(from, 2*logLimit))
	err = errors.Join(err, to.Close())
	if err != nil {
		return err
	}
	return errors.Join(os.Rename(path+".new", path+".1"), from.Truncate(0))
}

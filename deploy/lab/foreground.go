package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/midplane-project/midplane/deploy/lab/supervise"
)

// superviseHere runs the supervisor in this process until ctx ends. The shelf
// goes down with it then: who starts a shelf in the foreground wants it back.
func (l *Lab) superviseHere(ctx context.Context, say Say) (own func() error, err error) {
	if err := l.endSupervisor(ctx); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(l.dir().LogPath(SupervisorVerb), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	go func() {
		defer log.Close()
		done <- supervise.New(l.dir(), slog.New(slog.NewTextHandler(log, nil))).Run(ctx)
	}()
	err = await(ctx, supervisorLimit, func(context.Context) error {
		select {
		case err := <-done:
			return final(fmt.Errorf("supervise in the foreground: %w", err))
		default:
		}
		p, err := l.dir().Supervisor()
		if err == nil {
			p.Close()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return func() error {
		if err := <-done; err != nil {
			return err
		}
		say("… shelf %s goes down", l.Name)
		_, err := l.Down(context.WithoutCancel(ctx), say)
		return err
	}, nil
}

// Supervise is the body of the supervisor's verb: it keeps the processes of a
// state directory until ctx ends. A second one ends at once, without an error.
func Supervise(ctx context.Context, stateDir string, log *slog.Logger) error {
	err := supervise.New(supervise.Dir(stateDir), log).Run(ctx)
	if errors.Is(err, supervise.ErrRunning) {
		return nil
	}
	return err
}

package link

import v1 "github.com/midplane-project/midplane/proto/midplane/v1"

// write is the stream's only writer. What gathers while one message is being
// sent goes into the next batch; a lone frame leaves at once.
func (l *Link[Out, In]) write() error {
	var items []item[Out]
	for {
		for items = l.queue.take(items); len(items) > 0; items = l.queue.take(items) {
			if err := l.flush(items); err != nil {
				return err
			}
		}
		select {
		case <-l.queue.wake:
		case <-l.done:
			return ErrClosed
		}
	}
}

// pass sends an item at once, in the writer's place, if the stream takes it so.
func (l *Link[Out, In]) pass(it item[Out]) bool {
	s, ok := l.stream.(ReadyStream[Out])
	switch {
	case !ok || it.last:
		return false
	case it.frame != nil:
		return s.TrySend(l.batch([]item[Out]{it}))
	}
	return s.TrySend(it.msg)
}

// flush sends items in order, neighbouring frames in one batch.
func (l *Link[Out, In]) flush(items []item[Out]) error {
	for len(items) > 0 {
		n := frames(items)
		if n > 0 {
			if err := l.stream.Send(l.batch(items[:n])); err != nil {
				return err
			}
			items = items[n:]
			continue
		}
		if err := l.stream.Send(items[0].msg); err != nil {
			return err
		}
		if items[0].last {
			return ErrClosed
		}
		items = items[1:]
	}
	return nil
}

// frames counts the frames at the head of items that fit one batch.
func frames[Out any](items []item[Out]) int {
	n := 0
	for n < len(items) && n < maxBatch && items[n].frame != nil {
		n++
	}
	return n
}

func (l *Link[Out, In]) batch(items []item[Out]) *Out {
	envelopes := make([]*v1.Envelope, len(items))
	for i, it := range items {
		envelopes[i] = it.frame
	}
	return l.dialect.Batch(&v1.Batch{Envelopes: envelopes})
}

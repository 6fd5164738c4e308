package state

import (
	"google.golang.org/protobuf/proto"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// Bounds of the session table.
const (
	maxSessionRows         = 65536
	maxSessionRowsInstance = 4096
	maxInstanceLen         = 64
)

// sessionTable remembers answers by (instance, id), so that a request that
// comes again gets its first answer. The oldest row leaves, in log order: a
// repeat does not make a row younger, or reads would have to be logged.
type sessionTable struct {
	limit, limitInstance int
	owners               map[string]*sessionOwner // looked up, never walked
	oldest, newest       *sessionRow
	n                    int
}

// sessionOwner holds the rows of one instance, oldest first in queue.
type sessionOwner struct {
	instance string
	rows     map[uint64]*sessionRow
	queue    deque[*sessionRow]
}

// sessionRow is a link in the list of all rows, oldest to newest.
type sessionRow struct {
	owner      *sessionOwner
	id         uint64
	answer     string // encoded v1.Answer
	prev, next *sessionRow
}

func newSessionTable(limit, limitInstance int) sessionTable {
	return sessionTable{limit: limit, limitInstance: limitInstance, owners: make(map[string]*sessionOwner)}
}

// get gives the answer that the request had, encoded.
func (t *sessionTable) get(instance []byte, id uint64) (string, bool) {
	o := t.owners[string(instance)]
	if o == nil {
		return "", false
	}
	row := o.rows[id]
	if row == nil {
		return "", false
	}
	return row.answer, true
}

// answer gives the answer that the request had.
func (t *sessionTable) answer(instance []byte, id uint64) (*v1.Answer, bool) {
	first, ok := t.get(instance, id)
	if !ok {
		return nil, false
	}
	a := &v1.Answer{}
	if err := proto.Unmarshal([]byte(first), a); err != nil {
		return nil, false // cannot be: the table holds what Marshal made
	}
	return a, true
}

// put remembers an answer; the request must not be known yet.
func (t *sessionTable) put(instance string, id uint64, answer string) {
	o := t.owners[instance]
	if o == nil {
		o = &sessionOwner{instance: instance, rows: make(map[uint64]*sessionRow)}
	}
	if o.queue.len() >= t.limitInstance {
		t.drop(o.queue.at(0))
	}
	if t.n >= t.limit {
		t.drop(t.oldest)
	}
	row := &sessionRow{owner: o, id: id, answer: answer}
	t.owners[instance] = o
	o.rows[id] = row
	o.queue.push(row)
	t.link(row)
}

func (t *sessionTable) link(row *sessionRow) {
	row.prev = t.newest
	if t.newest == nil {
		t.oldest = row
	} else {
		t.newest.next = row
	}
	t.newest = row
	t.n++
}

// drop forgets a row, which is always the oldest of its instance: both lists
// are in log order, so the oldest of all is the oldest of its own too.
func (t *sessionTable) drop(row *sessionRow) {
	o := row.owner
	o.queue.pop()
	delete(o.rows, row.id)
	if o.queue.len() == 0 {
		delete(t.owners, o.instance)
	}
	if row.prev == nil {
		t.oldest = row.next
	} else {
		row.prev.next = row.next
	}
	if row.next == nil {
		t.newest = row.prev
	} else {
		row.next.prev = row.prev
	}
	t.n--
}

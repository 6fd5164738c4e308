package state

import "slices"

// deque is a queue on a ring that grows as it is used. Items leave at the
// front, or by removal from the middle, which moves the shorter side.
type deque[T any] struct {
	ring []T
	head int
	n    int
}

const dequeMinimum = 16

func (d *deque[T]) len() int { return d.n }

// slot maps position i, counted from the front, to an index of the ring.
func (d *deque[T]) slot(i int) int { return (d.head + i) & (len(d.ring) - 1) }

// at gives the item at position i, 0 <= i < len.
func (d *deque[T]) at(i int) T { return d.ring[d.slot(i)] }

func (d *deque[T]) push(v T) {
	if d.n == len(d.ring) {
		d.grow()
	}
	d.ring[d.slot(d.n)] = v
	d.n++
}

func (d *deque[T]) grow() {
	ring := make([]T, max(dequeMinimum, 2*len(d.ring)))
	for i := range d.n {
		ring[i] = d.at(i)
	}
	d.ring, d.head = ring, 0
}

// pop takes the item at the front off a queue that is not empty.
func (d *deque[T]) pop() T {
	v := d.at(0)
	var zero T
	d.ring[d.head] = zero
	d.head = d.slot(1)
	d.n--
	return v
}

// remove takes out the item at position i.
func (d *deque[T]) remove(i int) {
	if i < d.n/2 {
		for ; i > 0; i-- {
			d.ring[d.slot(i)] = d.at(i - 1)
		}
		d.pop()
		return
	}
	for ; i < d.n-1; i++ {
		d.ring[d.slot(i)] = d.at(i + 1)
	}
	var zero T
	d.ring[d.slot(i)] = zero
	d.n--
}

// clear empties the queue and gives its memory back.
func (d *deque[T]) clear() { *d = deque[T]{} }

// clone copies the queue; items are shared.
func (d *deque[T]) clone() deque[T] {
	return deque[T]{ring: slices.Clone(d.ring), head: d.head, n: d.n}
}

// items copies the queue, front first.
func (d *deque[T]) items() []T {
	out := make([]T, d.n)
	for i := range out {
		out[i] = d.at(i)
	}
	return out
}

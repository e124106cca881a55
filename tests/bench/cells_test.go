package bench

import "fmt"

// Who is measured.
const (
	us      = "polyinst"         // by ready workers
	forked  = "polyinst, forked" // by workers that the host forks
	shipped = "pam_namespace"
	noinit  = "pam_namespace, noinit"
	floor   = "floor"
	shape   = "floor of the shape"
	none    = "no module"
)

// situation is what a session is opened in.
type situation struct {
	method   string
	polydirs int
	mounts   int // beside those that the machine has
	memory   int // MB of the host
	fresh    bool
	joining  bool // another session of the user is open, and shared
	pause    int  // milliseconds between sessions
}

func (s situation) String() string {
	text := fmt.Sprintf("%s, %d polydir", s.method, s.polydirs)
	if s.polydirs != 1 {
		text += "s"
	}
	switch {
	case s.method == nobody:
		text = "nothing applies to the user"
	case s.method == below:
		text = fmt.Sprintf("user, %d polydirs, slave+shared", s.polydirs)
	case s.joining:
		text += ", joining"
	case s.fresh:
		text += ", new instances"
	}
	if s.mounts > 0 {
		text += fmt.Sprintf(", %d host mounts", s.mounts)
	}
	if s.memory > 0 {
		text += fmt.Sprintf(", host of %d MB", s.memory)
	}
	if s.pause > 0 {
		text += fmt.Sprintf(", %d logins a second", 1000/s.pause)
	}
	return text
}

// What stands for a method, and is more than one.
const (
	nobody  = "nobody"
	overlay = "overlay" // of one session alone
	below   = "slave+shared"
)

// cell is one thing that is measured.
type cell struct {
	who string
	situation
	every   int // in which rounds
	samples []sample
	calls   int // system calls of an open
	worker  int // of these, the worker's after the start of the Go runtime
}

func (c *cell) name() string { return fmt.Sprintf("%s: %v", c.who, c.situation) }

// base is the situation that the axes start from.
var base = situation{method: "user", polydirs: 4}

// plan lists the cells. Of what takes long there are fewer rounds.
func plan(rounds int, peer, joining bool) []*cell {
	var cells []*cell
	add := func(every int, s situation, who ...string) {
		if rounds == 1 {
			every = 1
		}
		for _, w := range who {
			if !peer && (w == shipped || w == noinit) {
				continue
			}
			cells = append(cells, &cell{who: w, situation: s, every: every})
		}
	}
	with := func(change func(*situation)) situation {
		s := base
		change(&s)
		return s
	}
	for _, n := range []int{1, 4, 16} {
		add(1, with(func(s *situation) { s.polydirs = n }), us, forked, shipped, noinit, floor, shape)
	}
	add(1, with(func(s *situation) { s.fresh = true }), us, forked, shipped, noinit)
	add(1, with(func(s *situation) { s.method = "tmpdir" }), us, forked, noinit)
	add(1, with(func(s *situation) { s.method = "tmpfs" }), us, forked, noinit)
	add(1, with(func(s *situation) { s.method = overlay }), us, forked)
	add(1, with(func(s *situation) { s.method = below }), us, forked)
	add(1, with(func(s *situation) { s.method = nobody }), us, forked, shipped)
	add(1, base, none)
	if joining {
		add(1, with(func(s *situation) { s.joining = true }), us, forked, floor)
	}
	manyMounts := 10000
	if rounds == 1 {
		manyMounts = 100
	}
	for _, m := range []int{1000, manyMounts} {
		s := with(func(s *situation) { s.mounts = m })
		add(4, s, us, forked, shipped, noinit, floor)
		if joining {
			s.joining = true
			add(4, s, us, forked)
		}
	}
	add(4, with(func(s *situation) { s.method, s.mounts = below, manyMounts }), us)
	for _, m := range []int{100, 500} {
		if rounds > 1 {
			add(4, with(func(s *situation) { s.memory = m }), us, forked, shipped, noinit)
		}
	}
	for _, p := range []int{20, 500} {
		if rounds > 1 {
			add(5, with(func(s *situation) { s.pause = p }), us, forked, shipped, noinit)
		}
	}
	return cells
}

// line is the cell in the language of benchhost.
func (c *cell) line() string {
	kind, service, conf, fresh, hold := "pam", "bench-none", "-", "-", 0
	switch c.who {
	case us, forked:
		service = ourService(c.method, c.polydirs)
		if c.joining {
			service, hold = ourService("joining", c.polydirs), 1
		}
		if c.who == forked {
			service += forks
		}
		if c.fresh {
			fresh = "/var/lib/polyinst"
		}
	case shipped, noinit:
		service = "bench-peer"
		method := c.method
		if c.who == noinit {
			method += ":noinit"
		}
		if c.method == "tmpdir" {
			service += "-close"
		}
		conf = peerConfig(method, c.polydirs)
		if c.method == "tmpfs" {
			conf = peerConfig("tmpfs", c.polydirs)
		}
		if c.fresh {
			fresh = "/var/lib/peer"
		}
	case floor:
		kind = "floor"
		if c.joining {
			kind = "join"
		}
	case shape:
		kind = "shape"
	}
	return fmt.Sprintf("%s %s %s %d %d %d %s %s %d %d %d", kind, service, user, c.polydirs,
		c.mounts, c.memory, conf, fresh, hold, c.every, c.pause)
}

// covered is how many polydirs an open must cover.
func (c *cell) covered() int {
	if c.who == none || c.method == nobody {
		return 0
	}
	return c.polydirs
}

// The Go SDK v1.0.0 against a server (SDK_TCP, SDK_API); prints "ok NAME", "not ok NAME: why".
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	wkproto "github.com/WuKongIM/WuKongIMGoProto"
	"github.com/WuKongIM/WuKongIMGoSDK/pkg/wksdk"
)

const (
	person = uint8(1)
	group  = uint8(2)
	limit  = 60 * time.Second
	quiet  = 1500 * time.Millisecond
	burst  = 100
)

var failed bool

// Answers that waited behind others in the best round: one round may meet a busy machine.
var leastLeft = 2 * burst

func report(name string, body func() error) {
	if err := body(); err != nil {
		failed = true
		fmt.Printf("not ok %s: %v\n", name, err)
		return
	}
	fmt.Printf("ok %s\n", name)
}

func post(route string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	answer, err := http.Post(os.Getenv("SDK_API")+route, "application/json", bytes.NewReader(text))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(answer.Body)
		return fmt.Errorf("%s: %d %s", route, answer.StatusCode, why)
	}
	return nil
}

// user is a connected client that keeps what it gets.
type user struct {
	*wksdk.Client
	uid string
	mu  sync.Mutex
	got []*wksdk.Message
}

func connect(uid string) (*user, error) {
	token := "t-" + uid
	err := post("/user/token", map[string]any{"uid": uid, "token": token, "device_flag": 0, "device_level": 0})
	if err != nil {
		return nil, err
	}
	u := &user{uid: uid}
	u.Client = wksdk.NewClient("tcp://"+os.Getenv("SDK_TCP"), func(o *wksdk.Options) {
		o.UID = uid
		o.Token = token
		o.Reconnect = false
	})
	u.OnMessage(func(m *wksdk.Message) {
		u.mu.Lock()
		u.got = append(u.got, m)
		u.mu.Unlock()
	})
	done := make(chan error, 1)
	go func() { done <- u.Connect() }()
	select {
	case err = <-done:
		return u, err
	case <-time.After(limit):
		return nil, errors.New("no CONNACK")
	}
}

func (u *user) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.got)
}

func (u *user) at(i int) *wksdk.Message {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.got[i]
}

func (u *user) waitFor(n int, within time.Duration) error {
	for end := time.Now().Add(within); u.count() < n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("%s has %d of %d messages", u.uid, u.count(), n)
		}
	}
	return nil
}

// send waits for the SENDACK, which the SDK itself does without a limit.
func (u *user) send(text, to string, kind uint8) (*wkproto.SendackPacket, error) {
	type result struct {
		ack *wkproto.SendackPacket
		err error
	}
	done := make(chan result, 1)
	go func() {
		ack, err := u.SendMessage([]byte(text), wkproto.Channel{ChannelID: to, ChannelType: kind})
		done <- result{ack, err}
	}()
	select {
	case r := <-done:
		return r.ack, r.err
	case <-time.After(limit):
		return nil, errors.New("no SENDACK")
	}
}

func say(format string, args ...any) { fmt.Printf("# "+format+"\n", args...) }

// firstOf is the first error there is.
func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func same(what string, got, want any) error {
	if got != want {
		return fmt.Errorf("%s is %v, not %v", what, got, want)
	}
	return nil
}

func sendAndReceive(a, b *user) error {
	ack, err := a.send("hello 你好", b.uid, person)
	if err != nil {
		return err
	}
	if err = b.waitFor(1, limit); err != nil {
		return err
	}
	m := b.at(0)
	back, err := b.send("back", a.uid, person)
	if err != nil {
		return err
	}
	if err = a.waitFor(1, limit); err != nil {
		return err
	}
	return firstOf(same("text", string(m.Payload), "hello 你好"), same("sender", m.FromUID, a.uid),
		same("channel", m.ChannelID, a.uid), same("id", m.MessageID, ack.MessageID),
		same("seq", m.MessageSeq, uint32(1)), same("seq of the answer", back.MessageSeq, uint32(2)),
		same("answer", string(a.at(0).Payload), "back"))
}

func groupMessage(a, b *user) error {
	id := a.uid + "-group"
	err := post("/channel", map[string]any{"channel_id": id, "channel_type": group, "subscribers": []string{a.uid, b.uid}})
	if err != nil {
		return err
	}
	before := b.count()
	if _, err = a.send("to all", id, group); err != nil {
		return err
	}
	if err = b.waitFor(before+1, limit); err != nil {
		return err
	}
	m := b.at(before)
	_, refused := a.send("nobody", id+"-other", group)
	if refused == nil {
		return errors.New("a group that does not exist accepts a message")
	}
	return firstOf(same("text", string(m.Payload), "to all"), same("channel", m.ChannelID, id))
}

// One at a time, both ways: the next goes out when the SENDACK and the RECV are there.
func oneAfterAnother(a, b *user) error {
	for i := 0; i < 2*burst; i++ {
		from, to := a, b
		if i%2 == 1 {
			from, to = b, a
		}
		before := to.count()
		if _, err := from.send(fmt.Sprintf("%s %d", from.uid, i), to.uid, person); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
		if err := to.waitFor(before+1, limit); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
	}
	return nil
}

// The SDK takes one frame from each read of its socket: what arrived with an earlier frame waits for
// more bytes.  A message of many reads frees all that waits.
func shake(from, to *user, reads int) error {
	_, err := from.send(strings.Repeat("x", reads*10240*3/4), to.uid, person)
	return err
}

// Many at once: how many SENDACKs and RECVs stay behind others is told; in the end each is there once.
func manyAtOnce(name string) error {
	a, err := connect(name + "-a")
	if err != nil {
		return err
	}
	b, err := connect(name + "-b")
	if err != nil {
		return err
	}
	shaker, err := connect(name + "-c")
	if err != nil {
		return err
	}
	var mu sync.Mutex
	seqs := map[uint32]bool{}
	acked := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(seqs)
	}
	for i := 0; i < burst; i++ {
		go func(i int) {
			text := fmt.Sprintf("m%d", i)
			ack, err := a.SendMessage([]byte(text), wkproto.Channel{ChannelID: b.uid, ChannelType: person})
			if err == nil {
				mu.Lock()
				seqs[ack.MessageSeq] = true
				mu.Unlock()
			}
		}(i)
	}
	for end := time.Now().Add(limit); time.Now().Before(end) && (acked() < burst || b.count() < burst); {
		before := acked() + b.count()
		time.Sleep(quiet)
		if acked()+b.count() == before {
			break
		}
	}
	acksLeft, recvsLeft := burst-acked(), burst-b.count()
	say("%s: %d of %d SENDACKs and %d of %d RECVs wait behind others", name, acksLeft, burst, recvsLeft, burst)
	if left := acksLeft + recvsLeft; left < leastLeft {
		leastLeft = left
	}
	for i := 0; i < 10 && (acked() < burst || b.count() < burst); i++ {
		if err = firstOf(shake(shaker, a, 40), shake(shaker, b, 40)); err != nil {
			return err
		}
		time.Sleep(quiet / 3)
	}
	texts := map[string]bool{}
	b.mu.Lock()
	for _, m := range b.got {
		if m.FromUID == a.uid {
			texts[string(m.Payload)] = true
		}
	}
	b.mu.Unlock()
	return firstOf(same("SENDACKs with a seq of their own", acked(), burst),
		same("texts received", len(texts), burst))
}

func main() {
	name := "go"
	a, err := connect(name + "-ann")
	report("connects with its key and token", func() error { return err })
	if err != nil {
		os.Exit(1)
	}
	b, err := connect(name + "-ben")
	report("a second one connects", func() error { return err })
	if err != nil {
		os.Exit(1)
	}
	report("two people write to each other", func() error { return sendAndReceive(a, b) })
	report("a group reaches its members", func() error { return groupMessage(a, b) })
	report("200 messages one after another, both ways", func() error { return oneAfterAnother(a, b) })
	for i := 1; i <= 3; i++ {
		report(fmt.Sprintf("%d messages at once, round %d", burst, i),
			func() error { return manyAtOnce(fmt.Sprintf("%s-burst%d", name, i)) })
	}
	report("most answers do not wait", func() error {
		if leastLeft > burst/2 {
			return fmt.Errorf("at best %d of %d wait: frames are not written one by one", leastLeft, 2*burst)
		}
		return nil
	})
	if failed {
		os.Exit(1)
	}
}

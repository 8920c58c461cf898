// main LOAD, a file: what `bench.fleet.load.Load` says, with paho.mqtt.golang.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

const window = 20

type load struct {
	Host         string   `json:"host"`
	Port         int      `json:"port"`
	CA           string   `json:"ca"`
	Certificates string   `json:"certificates"`
	Names        []string `json:"names"`
	Topic        string   `json:"topic"`
	Messages     int      `json:"messages"`
	PayloadBytes int      `json:"payload_bytes"`
	Interval     float64  `json:"interval"`
	Ramp         float64  `json:"ramp"`
	Hold         float64  `json:"hold"`
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func connect(l load, name string) mqtt.Client {
	scheme := "tcp"
	options := mqtt.NewClientOptions().SetClientID(name).SetAutoReconnect(false)
	if l.Certificates != "" {
		scheme = "ssl"
		pem, err := os.ReadFile(l.CA)
		must(err)
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		stem := l.Certificates + "/" + name
		pair, err := tls.LoadX509KeyPair(stem+".crt", stem+".key")
		must(err)
		options.SetTLSConfig(&tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}, ServerName: l.Host})
	}
	client := mqtt.NewClient(options.AddBroker(fmt.Sprintf("%s://%s:%d", scheme, l.Host, l.Port)))
	token := client.Connect()
	token.Wait()
	must(token.Error())
	return client
}

func main() {
	var l load
	text, err := os.ReadFile(os.Args[1])
	must(err)
	must(json.Unmarshal(text, &l))
	payload := []byte(strings.Repeat("x", l.PayloadBytes))
	clients := make([]mqtt.Client, len(l.Names))
	var published atomic.Int64
	var group sync.WaitGroup
	begun := time.Now()
	for i, name := range l.Names {
		time.Sleep(time.Until(begun.Add(seconds(float64(i) / l.Ramp))))
		group.Add(1)
		go func() { defer group.Done(); clients[i] = connect(l, name) }()
	}
	group.Wait()
	took := time.Since(begun).Seconds()
	for i, client := range clients {
		topic := strings.Replace(l.Topic, "{station_id}", l.Names[i], 1)
		group.Add(1)
		go func() {
			defer group.Done()
			tokens := make([]mqtt.Token, 0, window)
			for sent := 0; sent < l.Messages; sent++ {
				if len(tokens) == window {
					tokens[0].Wait()
					tokens = append(tokens[:0], tokens[1:]...)
				}
				tokens = append(tokens, client.Publish(topic, 1, false, payload))
				if l.Interval > 0 {
					time.Sleep(seconds(l.Interval))
				}
			}
			for _, token := range tokens {
				token.Wait()
			}
			published.Add(int64(l.Messages))
		}()
	}
	group.Wait()
	time.Sleep(seconds(l.Hold))
	for _, client := range clients {
		client.Disconnect(0)
	}
	must(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"connected": len(clients), "published": published.Load(), "connect_seconds": took,
	}))
}

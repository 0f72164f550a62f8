// Makes the HTTP requests that stdin asks for, with net/http. The protocol: ../../routes.py.
package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
)

type request struct {
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"`
	Body    *string           `json:"body"`
}

type answer struct {
	Status  int               `json:"status,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    string            `json:"body"`
	Error   string            `json:"error,omitempty"`
}

func ask(asked request) (answer, error) {
	var body io.Reader
	if asked.Body != nil {
		body = strings.NewReader(*asked.Body)
	}
	url := "http://" + os.Getenv("PRODUCER_HTTP_ADDR") + asked.Path
	made, err := http.NewRequest(asked.Method, url, body)
	if err != nil {
		return answer{}, err
	}
	for name, value := range asked.Headers {
		made.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(made)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, err
	}
	headers := map[string]string{}
	for name := range response.Header {
		headers[strings.ToLower(name)] = response.Header.Get(name)
	}
	return answer{Status: response.StatusCode, Headers: headers, Body: string(content)}, nil
}

func main() {
	asks, answers := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var asked request
		if asks.Decode(&asked) != nil {
			return
		}
		given, err := ask(asked)
		if err != nil {
			given.Error = err.Error()
		}
		_ = answers.Encode(given)
	}
}

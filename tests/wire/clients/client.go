// Prints each line of an event stream as soon as the default HTTP client of Go hands the line on.
package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
)

func main() {
	response, err := http.Get(os.Args[1])
	if err != nil {
		panic(err)
	}
	if response.StatusCode != 200 {
		fmt.Printf("status: %d\n", response.StatusCode)
		return
	}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		fmt.Println(lines.Text())
	}
}

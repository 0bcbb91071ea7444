// Go's lib/pq under database/sql: see runner.py for what a runner does.
package main

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/lib/pq"
)

type step struct {
	Do, SQL, Data, Channel, Payload, What, End string
	Level                                      *string
	Fail                                       bool
	Size                                       int
	Params                                     []*string
	Runs                                       [][]*string
	Arguments, Statements                      []string
}

type job struct {
	Login struct {
		Host, User, Dbname string
		Port               int
	}
	Checks []struct {
		Name  string
		Steps []step
	}
}

var (
	background     = context.Background()
	conn           *sql.Conn
	notices        []interface{}
	place          string
	errUnsupported = errors.New("unsupported")
)

func values(params []*string) []interface{} {
	made := make([]interface{}, len(params))
	for at, one := range params {
		if one != nil {
			made[at] = *one
		}
	}
	return made
}

func said(one *pq.Error) interface{} {
	return map[string]string{"severity": one.Severity, "code": string(one.Code), "text": one.Message, "detail": one.Detail, "hint": one.Hint, "position": one.Position, "where": one.Where,
		"schema": one.Schema, "table": one.Table, "column": one.Column, "type": one.DataTypeName, "constraint": one.Constraint}
}

func plain(value interface{}) interface{} {
	text := ""
	switch one := value.(type) {
	case nil, bool, int64, string:
		return one
	case []byte:
		text = "bytes " + hex.EncodeToString(one)
	case time.Time:
		text = "time " + one.Format(time.RFC3339Nano)
	default:
		text = fmt.Sprintf("%T %v", value, value)
	}
	if len(text) > 4000 {
		text = fmt.Sprintf("%s of %d", text[:2000], len(text))
	}
	return text
}

func read(rows *sql.Rows) (interface{}, error) {
	defer rows.Close()
	answers := []interface{}{}
	for {
		kinds, err := rows.ColumnTypes()
		if err != nil {
			return nil, err
		}
		columns, all := []interface{}{}, []interface{}{}
		for _, kind := range kinds {
			length, known := kind.Length()
			precision, scale, sized := kind.DecimalSize()
			columns = append(columns, []interface{}{kind.Name(), kind.DatabaseTypeName(), length, known, precision, scale, sized})
		}
		count := 0
		for rows.Next() {
			row, into := make([]interface{}, len(kinds)), make([]interface{}, len(kinds))
			for at := range row {
				into[at] = &row[at]
			}
			if err := rows.Scan(into...); err != nil {
				return nil, err
			}
			for at := range row {
				row[at] = plain(row[at])
			}
			if count++; count <= 60 {
				all = append(all, row)
			}
		}
		answers = append(answers, map[string]interface{}{"columns": columns, "count": count, "rows": all})
		if !rows.NextResultSet() {
			return answers, rows.Err()
		}
	}
}

func query(text string, params []*string) (interface{}, error) {
	rows, err := conn.QueryContext(background, text, values(params)...)
	if err != nil {
		return nil, err
	}
	return read(rows)
}

func exec(text string, params ...interface{}) (interface{}, error) {
	result, err := conn.ExecContext(background, text, params...)
	if err != nil {
		return nil, err
	}
	changed, err := result.RowsAffected()
	return []interface{}{changed, err == nil}, nil
}

func copyIn(one step) (interface{}, error) {
	if one.SQL == "COPY no_such FROM STDIN" || strings.Contains(one.SQL, "csv") {
		return nil, errUnsupported
	}
	tx, err := conn.BeginTx(background, nil)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	statement, err := tx.Prepare(pq.CopyInSchema("shop", "slip", "id", "word"))
	if err != nil {
		return nil, err
	}
	for _, line := range strings.Split(strings.TrimSuffix(one.Data, "\n"), "\n") {
		cells := strings.SplitN(line, "\t", 2)
		var word interface{} = strings.ReplaceAll(cells[1], "\\t", "\t")
		if cells[1] == "\\N" {
			word = nil
		}
		if _, err := statement.Exec(cells[0], word); err != nil {
			return nil, err
		}
	}
	if one.Fail {
		statement.Close()
		return nil, &pq.Error{Code: "57014", Message: "given up by a rollback"}
	}
	if _, err := statement.Exec(); err != nil {
		return nil, err
	}
	if err := statement.Close(); err != nil {
		return nil, err
	}
	return "copied", tx.Commit()
}

func run(one step) (interface{}, error) {
	switch one.Do {
	case "query":
		return query(one.SQL, one.Params)
	case "simple":
		if strings.HasPrefix(one.SQL, "FETCH") || strings.Contains(one.SQL, "SELECT") {
			return query(one.SQL, nil)
		}
		return exec(one.SQL)
	case "prepared", "batch":
		statement, err := conn.PrepareContext(background, one.SQL)
		if err != nil {
			return nil, err
		}
		defer statement.Close()
		answers := []interface{}{}
		for _, params := range one.Runs {
			rows, err := statement.Query(values(params)...)
			if err != nil {
				return nil, err
			}
			answer, err := read(rows)
			if err != nil {
				return nil, err
			}
			answers = append(answers, answer)
		}
		return answers, nil
	case "copy_in":
		return copyIn(one)
	case "listen":
		listener := pq.NewListener(place, 50*time.Millisecond, time.Second, nil)
		defer listener.Close()
		if err := listener.Listen(one.Channel); err != nil {
			return nil, err
		}
		if _, err := query("SELECT pg_notify($1, $2)", []*string{&one.Channel, &one.Payload}); err != nil {
			return nil, err
		}
		select {
		case got := <-listener.Notify:
			return []interface{}{got.Channel, got.Extra}, nil
		case <-time.After(5 * time.Second):
			return "nothing heard", nil
		}
	case "cancel":
		limited, stop := context.WithTimeout(background, 300*time.Millisecond)
		defer stop()
		_, err := conn.ExecContext(limited, one.SQL)
		return nil, err
	case "transaction":
		level := sql.LevelDefault
		if one.Level != nil {
			level = map[string]sql.IsolationLevel{"read committed": sql.LevelReadCommitted, "repeatable read": sql.LevelRepeatableRead, "serializable": sql.LevelSerializable}[*one.Level]
		}
		tx, err := conn.BeginTx(background, &sql.TxOptions{Isolation: level})
		if err != nil {
			return nil, err
		}
		defer tx.Rollback()
		answers := []interface{}{}
		for _, text := range one.Statements {
			rows, err := tx.Query(text)
			if err != nil {
				return nil, err
			}
			answer, err := read(rows)
			if err != nil {
				return nil, err
			}
			answers = append(answers, answer)
		}
		if one.End == "commit" {
			return answers, tx.Commit()
		}
		return answers, tx.Rollback()
	}
	return nil, errUnsupported
}

func main() {
	var work job
	if err := json.NewDecoder(os.Stdin).Decode(&work); err != nil {
		panic(err)
	}
	place = fmt.Sprintf("host=%s port=%d user=%s dbname=%s sslmode=disable application_name=drivers", work.Login.Host, work.Login.Port, work.Login.User, work.Login.Dbname)
	base, err := pq.NewConnector(place)
	if err != nil {
		panic(err)
	}
	db := sql.OpenDB(pq.ConnectorWithNoticeHandler(base, func(one *pq.Error) { notices = append(notices, said(one)) }))
	if conn, err = db.Conn(background); err != nil {
		panic(err)
	}
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for _, check := range work.Checks {
		outcomes := []interface{}{}
		for _, one := range check.Steps {
			got, err := run(one)
			if one.Do == "cancel" {
				// With a statement that was cancelled by its context the connection goes, too.
				for conn.PingContext(background) != nil {
					conn.Close()
					if other, lost := db.Conn(background); lost != nil {
						panic(lost)
					} else {
						conn = other
					}
				}
			}
			var failed *pq.Error
			outcome := map[string]interface{}{}
			switch {
			case err == nil:
				outcome["got"] = got
			case errors.Is(err, errUnsupported):
				outcome["unsupported"] = one.Do
			case errors.As(err, &failed):
				outcome["error"] = said(failed)
			default:
				outcome["error"] = map[string]string{"text": err.Error()}
			}
			outcome["notices"] = notices
			notices = nil
			outcomes = append(outcomes, outcome)
		}
		if err := out.Encode(map[string]interface{}{"name": check.Name, "outcomes": outcomes}); err != nil {
			panic(err)
		}
	}
	conn.Close()
	db.Close()
}

# Ruby's pg: see runner.py for what a runner does.
require 'json'
require 'pg'
job = JSON.parse($stdin.read)

class Runner
  def initialize(login)
    @db = PG.connect(host: login['host'], port: login['port'], user: login['user'], dbname: login['dbname'], application_name: 'drivers', sslmode: 'disable', gssencmode: 'disable')
    @db.type_map_for_results = PG::BasicTypeMapForResults.new(@db)
    @notices = []
    @db.set_notice_receiver { |result| @notices << diagnosis(result) }
    @names = 0
  end

  def diagnosis(result)
    { severity: PG::PG_DIAG_SEVERITY, code: PG::PG_DIAG_SQLSTATE, message: PG::PG_DIAG_MESSAGE_PRIMARY, detail: PG::PG_DIAG_MESSAGE_DETAIL, hint: PG::PG_DIAG_MESSAGE_HINT,
      position: PG::PG_DIAG_STATEMENT_POSITION, context: PG::PG_DIAG_CONTEXT, schema: PG::PG_DIAG_SCHEMA_NAME, table: PG::PG_DIAG_TABLE_NAME, column: PG::PG_DIAG_COLUMN_NAME,
      type: PG::PG_DIAG_DATATYPE_NAME, constraint: PG::PG_DIAG_CONSTRAINT_NAME }.transform_values { |field| result.error_field(field) }.compact
  end

  def plain(value)
    case value
    when nil, true, false, Integer then value
    when String then value.encoding == Encoding::BINARY ? "bytes #{value.unpack1('H*')[0, 4000]}" : short(value)
    when Array then value.map { |one| plain(one) }
    else "#{value.class} #{value.respond_to?(:to_plain) ? value.to_plain : value}"
    end
  end

  def short(text) = text.length <= 4000 ? text : "#{text[0, 2000]}...#{text[-2000..]} of #{text.length}"

  def read(result)
    columns = result.nfields.times.map { |at| [result.fname(at), result.ftype(at), result.fmod(at), result.fformat(at), result.fsize(at), result.ftablecol(at)] }
    rows = result.values.map { |row| plain(row) }
    { columns: columns, count: rows.length, rows: rows.length <= 60 ? rows : rows.first(30) + rows.last(30), tag: result.cmd_status, changed: result.cmd_tuples }
  ensure
    result.clear
  end

  def query(step)
    answers = [read(@db.exec_params(step['sql'], step['params']))]
    answers << read(@db.exec_params(step['sql'], step['params'], 1)) if step['sql'].start_with?('SELECT')
    answers
  end

  def simple(step)
    @db.send_query(step['sql'])
    answers = []
    failed = nil
    while (result = @db.get_result)
      begin
        result.check
        answers << read(result)
      rescue PG::Error => error
        failed = error
      end
    end
    raise failed if failed
    answers
  end

  def prepared(step)
    @db.prepare("named #{@names += 1}", step['sql']).clear
    step['runs'].map { |values| read(@db.exec_prepared("named #{@names}", values)) }
  end

  # In pipeline mode.
  def batch(step)
    @db.enter_pipeline_mode
    step['runs'].each { |values| @db.send_query_params(step['sql'], values) }
    @db.pipeline_sync
    answers, failed = [], nil
    loop do
      result = @db.get_result or next
      break if result.result_status == PG::PGRES_PIPELINE_SYNC
      begin
        result.check
        answers << result.cmd_status
      rescue PG::Error => error
        failed ||= error
        answers << error.class.name
      end
    end
    raise failed if failed
    answers
  ensure
    @db.get_result
    @db.exit_pipeline_mode
  end

  # Row by row.
  def fetch(step)
    @db.send_query_params(step['sql'], step['params'])
    @db.set_single_row_mode
    rows = []
    while (result = @db.get_result)
      result.check
      rows.concat(plain(result.values))
    end
    { count: rows.length, first: rows.first(3), last: rows.last(3) }
  ensure
    while (result = @db.get_result) do result.clear end
  end

  def copy_out(step)
    data = +''.b
    @db.copy_data(step['sql']) { while (part = @db.get_copy_data) do data << part.b end }
    short(step['sql'].include?('binary') ? data.unpack1('H*') : data.force_encoding('UTF-8'))
  end

  class GivenUp < StandardError; end

  def copy_in(step)
    result = @db.copy_data(step['sql']) do
      @db.put_copy_data(step['data'])
      raise GivenUp, 'given up' if step['fail']
    end
    result.cmd_status
  rescue GivenUp => error
    raise error.cause || error
  end

  def listen(step)
    channel = @db.quote_ident(step['channel'])
    @db.exec("LISTEN #{channel}")
    @db.exec_params('SELECT pg_notify($1::text, $2::text)', [step['channel'], step['payload']])
    got = nil
    @db.wait_for_notify(5) { |name, pid, payload| got = [name, payload, pid == @db.backend_pid] }
    @db.exec("UNLISTEN #{channel}")
    got
  end

  def cancel(step)
    thread = Thread.new { sleep 0.3; @db.cancel }
    simple(step)
  ensure
    thread.join
  end

  def transaction(step)
    @db.exec("BEGIN#{step['level'] && " ISOLATION LEVEL #{step['level']}"}")
    answers = step['statements'].map { |sql| read(@db.exec(sql)) }
    answers << read(@db.exec(step['end']))
  end

  def meta(step)
    [@db.server_version, @db.protocol_version, @db.internal_encoding.to_s, @db.db, @db.user, *%w[TimeZone DateStyle server_version application_name].map { |name| @db.parameter_status(name) }]
  end

  def run(check)
    check['steps'].map do |step|
      outcome = begin
        { got: send(step['do'], step) }
      rescue PG::Error => error
        { error: { class: error.class.name, text: error.message, **(error.respond_to?(:result) && error.result ? diagnosis(error.result) : {}) } }
      rescue GivenUp => error
        { error: { class: error.class.name, code: '57014' } }
      end
      notices, @notices = @notices, []
      { **outcome, notices: notices, state: @db.transaction_status }
    end
  end
end

runner = Runner.new(job['login'])
job['checks'].each { |check| puts JSON.generate({ name: check['name'], outcomes: runner.run(check) }) }

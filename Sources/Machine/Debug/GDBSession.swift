import CPU
import Dispatch
import Primitives
import Synchronization

/// The machine as a gdb's session asks for it; the real one is a `RunningMachine`.
protocol GDBMachine: AnyObject, Sendable {
    func debug(_ request: DebugRequest, _ done: @escaping @Sendable (DebugReply) -> Void)
    func post(_ command: MachineCommand)
}

extension RunningMachine: GDBMachine {}

/// One gdb and what it wants. Packets in, packets out; where the machine goes on, the answer comes when it stands.
///
/// Source: *Debugging with GDB*, appendix "GDB Remote Serial Protocol". All-stop mode: the processors are threads 1 and up, and all of them run or
/// stand. Confined to the server's thread.
final class GDBSession {
    /// Contents of a packet that we take and send.
    static let packetBytes = 0x4000
    /// A gdb that inserts more of them is refused.
    private static let breakpointLimit = 256

    private struct Point: Hashable {
        /// 0 software, 1 hardware, 2 write, 3 read, 4 access.
        var type: UInt64
        var address: UInt64
        var length: UInt64
    }

    let machine: any GDBMachine
    let send: ([UInt8]) -> Void
    /// Called on any thread when the machine has come to stand.
    private let whenStopped: @Sendable (DebugReply) -> Void
    let wishes: GDBWishes
    private var reader = GDBPacketReader(limit: GDBSession.packetBytes)
    private var acknowledges = true
    /// Sent again when gdb did not get it whole.
    private var lastSent: [UInt8] = []
    /// gdb waits for the machine to stop.
    private(set) var isWaiting = false
    /// It went back, and may come to the beginning of what is known.
    private var goesBack = false
    /// The last thing was Ctrl-C.
    private var interrupted = false
    /// The machine has ended.
    private(set) var isOver = false
    private(set) var isClosed = false
    private var registers: GDBRegisters?
    private var isFlat = true
    private var tellsBreakpoints = false
    private var points: [Point: Int] = [:]
    private var thread = 0
    private var vcpus = 1
    private var description: [UInt8] = []

    init(
        _ machine: any GDBMachine, wishes: GDBWishes, send: @escaping ([UInt8]) -> Void,
        whenStopped: @escaping @Sendable (DebugReply) -> Void
    ) {
        (self.machine, self.wishes, self.send, self.whenStopped) = (machine, wishes, send, whenStopped)
    }

    // MARK: The machine

    /// Answers of the machine; it gives them between two slices.
    func ask(_ queries: [DebugQuery]) -> DebugReply {
        let done = DispatchSemaphore(value: 0)
        let shared = Shared()
        machine.debug(DebugRequest(queries)) { reply in
            shared.set(reply)
            done.signal()
        }
        done.wait()
        return shared.take() ?? DebugReply(answers: [])
    }

    private final class Shared: Sendable {
        private let box = Mutex<DebugReply?>(nil)
        func set(_ reply: DebugReply) { box.withLock { $0 = reply } }
        func take() -> DebugReply? { box.withLock { $0 } }
    }

    private func ask(_ query: DebugQuery) -> DebugAnswer { ask([query]).answers.first ?? .failure("There is no answer.") }

    func state(_ vcpu: Int) -> DebugRegisters? {
        guard case .registers(let state) = ask(.registers(vcpu: vcpu)) else { return nil }
        vcpus = state.vcpus
        return state
    }

    /// As gdb is told; decided when it asks first.
    private func layout() -> GDBRegisters? {
        if let registers { return registers }
        guard let state = state(0) else { return nil }
        let architecture = wishes.wanted ?? GDBSession.architecture(state, hint: wishes.hint)
        var new = GDBRegisters(architecture, vectors: state.vectors.first?.count ?? 2)
        new.isFlat = isFlat
        registers = new
        return new
    }

    /// By the mode that the machine is in; in real mode by what it is going to start.
    static func architecture(_ state: DebugRegisters, hint: GDBArchitecture?) -> GDBArchitecture {
        switch state.mode {
        case .long: .amd64
        case .protected32, .compatibility16, .compatibility32: hint == .amd64 ? .amd64 : .i386
        case .real, .virtual8086, .protected16: hint ?? .i8086
        }
    }

    // MARK: In and out

    func receive(_ bytes: some Sequence<UInt8>) {
        for event in reader.read(bytes) where !isClosed {
            switch event {
            case .packet(let body):
                if acknowledges { send([UInt8(ascii: "+")]) }
                handle(body)
            case .damaged: if acknowledges { send([UInt8(ascii: "-")]) }
            case .acknowledged(true): break
            case .acknowledged(false): if acknowledges, !lastSent.isEmpty { send(lastSent) }
            case .interrupt:
                interrupted = true
                machine.debug(DebugRequest([.go(.pause)])) { _ in }
            }
        }
    }

    func reply(_ text: String) { reply(Array(text.utf8)) }

    func reply(_ bytes: [UInt8]) {
        lastSent = GDBPacketReader.frame(bytes)
        send(lastSent)
    }

    /// gdb shows the sentence.
    private func fail(_ sentence: String) { reply("E." + sentence) }

    private static let badAddress = "E14", badRequest = "E22"

    /// gdb has gone, or is about to: its breakpoints go too, and the machine goes on.
    func leave() {
        guard !isClosed else { return }
        isClosed = true
        guard !isOver else { return }
        var queries = points.values.map { DebugQuery.deleteBreakpoint($0) }
        queries.append(.go(.resume))
        machine.debug(DebugRequest(queries)) { _ in }
        points = [:]
    }

    // MARK: Packets

    private func handle(_ body: [UInt8]) {
        // X has bytes that are no text.
        if body.first == UInt8(ascii: "X") { return writeBinary(body) }
        let text = String(decoding: body, as: UTF8.self)
        let rest = text.dropFirst()
        switch text.first {
        case "?": attach()
        case "g": readAll()
        case "G": writeAll(rest)
        case "p": readOne(rest)
        case "P": writeOne(rest)
        case "m": readMemory(rest, binary: false)
        case "x": readMemory(rest, binary: true)
        case "M": write(rest)
        case "H": select(rest)
        case "T": reply(GDBHex.number(rest).map { $0 > 0 && $0 <= UInt64(vcpus) } == true ? "OK" : GDBSession.badRequest)
        case "c": goOn(from: rest, .resume)
        case "C": goOn(from: rest.split(separator: ";").dropFirst().first ?? "", .resume)
        case "s": goOn(from: rest, .within(first: 0, end: 0, vcpu: thread))
        case "S": goOn(from: rest.split(separator: ";").dropFirst().first ?? "", .within(first: 0, end: 0, vcpu: thread))
        case "b": back(rest)
        case "Z": insert(rest)
        case "z": remove(rest)
        case "v": longName(text)
        case "q", "Q": query(text)
        case "D":
            reply("OK")
            leave()
        case "k":
            isClosed = true
            machine.post(.powerOff)
        default: reply("")
        }
    }

    /// The first question of a gdb: the machine stands from now on.
    private func attach() {
        let answer = ask([.go(.pause), .registers(vcpu: nil)])
        if case .registers(let state)? = answer.answers.last {
            thread = state.vcpu
            vcpus = state.vcpus
        }
        reply(stopReply(answer))
    }

    private func readAll() {
        guard let layout = layout(), let state = state(thread) else { return reply("E01") }
        reply(GDBHex.text(layout.all(of: state)))
    }

    private func readOne(_ rest: Substring) {
        guard let number = GDBHex.number(rest), let layout = layout(), number < UInt64(layout.all.count), let state = state(thread) else {
            return reply(GDBSession.badRequest)
        }
        reply(GDBHex.text(layout.bytes(Int(number), of: state)))
    }

    private func writeOne(_ rest: Substring) {
        let parts = rest.split(separator: "=", maxSplits: 1)
        guard parts.count == 2, let number = GDBHex.number(parts[0]), let bytes = GDBHex.bytes(parts[1]), let layout = layout(),
            number < UInt64(layout.all.count), let state = state(thread)
        else { return reply(GDBSession.badRequest) }
        // What it is already need not be settable.
        if bytes == layout.bytes(Int(number), of: state) { return reply("OK") }
        guard let query = layout.setting(Int(number), to: bytes, of: state) else { return fail("This register cannot be set.") }
        answerDone(ask(query))
    }

    private func writeAll(_ rest: Substring) {
        guard let bytes = GDBHex.bytes(rest), let layout = layout(), let state = state(thread) else { return reply(GDBSession.badRequest) }
        var queries: [DebugQuery] = [], at = 0
        for number in layout.all.indices {
            let count = layout.all[number].bits / 8
            guard at + count <= bytes.count else { break }
            let new = Array(bytes[at..<at + count])
            if new != layout.bytes(number, of: state), let query = layout.setting(number, to: new, of: state) { queries.append(query) }
            at += count
        }
        for answer in ask(queries).answers { if case .failure(let sentence) = answer { return fail(sentence) } }
        reply("OK")
    }

    private func answerDone(_ answer: DebugAnswer) { if case .failure(let sentence) = answer { fail(sentence) } else { reply("OK") } }

    // MARK: Memory

    private func readMemory(_ rest: Substring, binary: Bool) {
        let fields = GDBFields(rest)
        guard let address = fields[0], let length = fields[1] else { return reply(GDBSession.badRequest) }
        let most = binary ? GDBSession.packetBytes / 2 - 8 : GDBSession.packetBytes / 2
        let count = Int(min(length, UInt64(most)))
        guard case .memory(let memory) = ask(.memory(.linear(address), count: count, vcpu: thread)) else { return reply(GDBSession.badAddress) }
        // What comes before the first hole; gdb asks for the rest again.
        let bytes = memory.missing.first.map { Array(memory.bytes.prefix($0.lowerBound)) } ?? memory.bytes
        guard !bytes.isEmpty || count == 0 else { return reply(GDBSession.badAddress) }
        if binary { reply([UInt8(ascii: "b")] + bytes) } else { reply(GDBHex.text(bytes)) }
    }

    private func write(_ rest: Substring) {
        let parts = rest.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let bytes = GDBHex.bytes(parts[1]) else { return reply(GDBSession.badRequest) }
        write(GDBFields(parts[0]), bytes)
    }

    private func writeBinary(_ body: [UInt8]) {
        guard let colon = body.firstIndex(of: UInt8(ascii: ":")) else { return reply(GDBSession.badRequest) }
        let head = String(decoding: body[1..<colon], as: UTF8.self)
        write(GDBFields(head[...]), Array(body[(colon + 1)...]))
    }

    private func write(_ fields: GDBFields, _ bytes: [UInt8]) {
        guard let address = fields[0], fields[1] == UInt64(bytes.count) else { return reply(GDBSession.badRequest) }
        // gdb asks so whether X is known.
        if bytes.isEmpty { return reply("OK") }
        if case .failure = ask(.poke(.linear(address), bytes: bytes, vcpu: thread)) { reply(GDBSession.badAddress) } else { reply("OK") }
    }

    // MARK: Breakpoints

    private func point(_ rest: Substring) -> Point? {
        let fields = GDBFields(rest.split(separator: ";", omittingEmptySubsequences: false).first ?? "")
        guard let type = fields[0], type <= 4, let address = fields[1], let length = fields[2] else { return nil }
        return Point(type: type, address: address, length: type < 2 ? 1 : length)
    }

    private func insert(_ rest: Substring) {
        guard let point = point(rest), (1...4096).contains(point.length) else { return reply(GDBSession.badRequest) }
        if points[point] != nil { return reply("OK") }
        guard points.count < GDBSession.breakpointLimit else { return fail("There are too many breakpoints.") }
        let kind: Breakpoint.Kind =
            point.type < 2
            ? .execution(.linear(point.address))
            : .memory(.linear(point.address), length: point.length, reads: point.type != 2, writes: point.type != 3)
        var breakpoint = Breakpoint(kind)
        breakpoint.isForeign = true
        switch ask(.setBreakpoint(breakpoint)) {
        case .breakpoints(let made):
            points[point] = made.first?.number
            reply("OK")
        case .failure(let sentence): fail(sentence)
        default: reply("E01")
        }
    }

    private func remove(_ rest: Substring) {
        guard let point = point(rest) else { return reply(GDBSession.badRequest) }
        if let number = points.removeValue(forKey: point) { _ = ask(.deleteBreakpoint(number)) }
        reply("OK")
    }

    // MARK: Threads

    private func select(_ rest: Substring) {
        guard let kind = rest.first, kind == "g" || kind == "c" else { return reply(GDBSession.badRequest) }
        let name = rest.dropFirst()
        if name == "0" || name == "-1" { return reply("OK") }
        guard let number = GDBHex.number(name), number > 0, number <= UInt64(vcpus) else { return reply(GDBSession.badRequest) }
        if kind == "g" { thread = Int(number) - 1 }
        reply("OK")
    }

    private func extra(_ rest: Substring) {
        guard let number = GDBHex.number(rest), number > 0, number <= UInt64(vcpus), let state = state(Int(number) - 1) else {
            return reply(GDBSession.badRequest)
        }
        reply(GDBHex.text("CPU \(number - 1), \(state.mode.rawValue)\(state.isHalted ? ", halted" : "")".utf8))
    }

    // MARK: Going on

    private func goOn(from address: Substring, _ run: DebugRun) {
        var queries: [DebugQuery] = []
        if !address.isEmpty {
            guard let address = GDBHex.number(address), let layout = layout(), let state = state(thread),
                let number = layout.all.firstIndex(where: { $0.source == .pc }),
                let query = layout.setting(number, to: (0..<8).map { UInt8(truncatingIfNeeded: address >> UInt64(8 * $0)) }, of: state)
            else { return reply(GDBSession.badRequest) }
            queries.append(query)
        }
        go(queries + [.go(run)])
    }

    private func back(_ rest: Substring) {
        switch rest {
        case "s": go([.go(.back(count: 1))])
        case "c": go([.go(.backResume)])
        default: reply("")
        }
    }

    private func go(_ queries: [DebugQuery]) {
        isWaiting = true
        interrupted = false
        goesBack = queries.contains { if case .go(let run) = $0 { run.travels } else { false } }
        machine.debug(DebugRequest(queries, waits: true), whenStopped)
    }

    /// `vCont;ACTION:THREAD;...`: the leftmost action that names a thread is its own. One of them is stepped, or all go on.
    private func resume(_ text: Substring) {
        var step: DebugRun?
        for action in text.split(separator: ";") {
            let parts = action.split(separator: ":", maxSplits: 1)
            let word = parts[0]
            var vcpu: Int? = thread
            if parts.count > 1, parts[1] != "-1" {
                guard let number = GDBHex.number(parts[1]), number > 0, number <= UInt64(vcpus) else { return reply(GDBSession.badRequest) }
                vcpu = Int(number) - 1
            }
            switch word.first {
            case "s", "S": step = step ?? .within(first: 0, end: 0, vcpu: vcpu)
            case "r":
                let fields = GDBFields(word.dropFirst())
                guard let first = fields[0], let end = fields[1] else { return reply(GDBSession.badRequest) }
                step = step ?? .within(first: first, end: end, vcpu: vcpu)
            case "c", "C", "t": break
            default: return reply(GDBSession.badRequest)
            }
        }
        if text.split(separator: ";").allSatisfy({ $0.hasPrefix("t") }) { return reply("OK") }
        go([.go(step ?? .resume)])
    }

    /// The machine stands, or has ended; on the server's thread.
    func stopped(_ answer: DebugReply) {
        guard isWaiting, !isClosed else { return }
        isWaiting = false
        reply(stopReply(answer))
    }

    private func stopReply(_ answer: DebugReply) -> String {
        for case .failure(let sentence) in answer.answers {
            if sentence == RunningMachine.hasEnded.description { return ended() }
            // gdb shows it and believes that nothing has moved.
            return "E." + sentence
        }
        guard let stop = answer.stop else { return ended() }
        thread = stop.vcpu
        var text = "T"
        switch stop.reason {
        case .guru: text += "0b"
        case .pause where interrupted: text += "02"
        default: text += "05"
        }
        interrupted = false
        if goesBack, stop.reason == .start { text += "replaylog:begin;" }
        goesBack = false
        if stop.reason == .breakpoint, let number = stop.number ?? near(stop), let point = points.first(where: { $0.value == number })?.key {
            switch point.type {
            case 0: if tellsBreakpoints { text += "swbreak:;" }
            case 1: if tellsBreakpoints { text += "hwbreak:;" }
            default:
                let name = ["watch", "rwatch", "awatch"][Int(point.type) - 2]
                let hit = stop.access.map { max($0.address, point.address) } ?? point.address
                text += "\(name):\(String(hit, radix: 16));"
            }
        }
        return text + "thread:\(String(stop.vcpu + 1, radix: 16));"
    }

    /// A stop without a number: which of ours is here.
    private func near(_ stop: DebugStop) -> Int? { points.first { $0.key.type < 2 && $0.key.address == stop.linear }?.value }

    private func ended() -> String {
        isOver = true
        return "W00"
    }

    // MARK: Names

    private func longName(_ text: String) {
        switch text {
        case "vCont?": reply("vCont;c;C;s;S;t;r")
        case _ where text.hasPrefix("vCont;"): resume(text.dropFirst(6))
        case "vCtrlC":
            interrupted = true
            machine.debug(DebugRequest([.go(.pause)])) { _ in }
            reply("OK")
        case _ where text.hasPrefix("vKill"):
            reply("OK")
            isClosed = true
            machine.post(.powerOff)
        default: reply("")
        }
    }

    private func query(_ text: String) {
        let name = text.prefix { $0 != ":" && $0 != "," }
        let rest = text.dropFirst(name.count + 1)
        switch name {
        case "qSupported":
            let features = text.dropFirst("qSupported:".count).split(separator: ";")
            tellsBreakpoints = features.contains("swbreak+")
            // A gdb that begins anew: what it will be told may be another.
            registers = nil
            description = []
            reply(
                "PacketSize=\(String(GDBSession.packetBytes, radix: 16));qXfer:features:read+;QStartNoAckMode+;vContSupported+;"
                    + "swbreak+;hwbreak+;ReverseStep+;ReverseContinue+;binary-upload+;error-message+")
        case "QStartNoAckMode":
            reply("OK")
            acknowledges = false
        case "qXfer":
            guard rest.hasPrefix("features:read:") else { return reply("") }
            transfer(rest.dropFirst("features:read:".count))
        case "qC": reply("QC\(String(thread + 1, radix: 16))")
        case "qfThreadInfo": reply("m" + (1...max(1, vcpus)).map { String($0, radix: 16) }.joined(separator: ","))
        case "qsThreadInfo": reply("l")
        case "qThreadExtraInfo": extra(rest)
        case "qAttached": reply("1")
        case "qSymbol": reply("OK")
        case "qRcmd": monitor(rest)
        default: reply("")
        }
    }

    /// `target.xml:OFFSET,LENGTH`
    private func transfer(_ rest: Substring) {
        let parts = rest.split(separator: ":", maxSplits: 1)
        guard parts.count == 2, parts[0] == "target.xml" else { return reply("E00") }
        let fields = GDBFields(parts[1])
        guard let offset = fields[0], let length = fields[1], let layout = layout() else { return reply("E01") }
        if description.isEmpty { description = Array(layout.description.utf8) }
        guard offset < UInt64(description.count) else { return reply("l") }
        let piece = description[Int(offset)...].prefix(Int(min(length, UInt64(GDBSession.packetBytes - 4))))
        let isLast = piece.endIndex == description.endIndex
        reply([UInt8(ascii: isLast ? "l" : "m")] + piece)
    }

    // MARK: monitor

    private func monitor(_ rest: Substring) {
        guard let bytes = GDBHex.bytes(rest), bytes.count <= 4096 else { return reply(GDBSession.badRequest) }
        let line = String(decoding: bytes, as: UTF8.self)
        let words = line.split(whereSeparator: \.isWhitespace)
        var lines: [String]
        if let own = ownCommand(words) {
            lines = own
        } else {
            // What makes the machine go on must come from gdb, or it would not know.
            let command = words.first.flatMap { DebugCommand.find(String($0)) }
            let isTravel = DebugCommand.travel.contains { $0.name == command?.name }
            if command?.group == .control, !isTravel {
                lines = ["gdb has commands of its own for that."]
            } else if case .lines(let said) = ask(.command(line)) {
                lines = said
                if command?.group == .control { lines.append("'maintenance flush register-cache' makes gdb look again.") }
            } else {
                lines = ["The debugger does not answer."]
            }
        }
        var left = Array(lines.map { $0 + "\n" }.joined().utf8)[...]
        // Bounded: a console is no place for more.
        left = left.prefix(1 << 20)
        while !left.isEmpty {
            let piece = left.prefix(GDBSession.packetBytes / 2 - 8)
            reply("O" + GDBHex.text(piece))
            left = left.dropFirst(piece.count)
        }
        reply("OK")
    }

    /// Commands about the stub itself. nil: it is none.
    private func ownCommand(_ words: [Substring]) -> [String]? {
        switch words.first {
        case "arch":
            let names = GDBArchitecture.allCases.map(\.rawValue).joined(separator: ", ")
            guard words.count > 1 else { return ["gdb was told \(registers?.architecture.rawValue ?? "nothing yet"); there are auto, \(names)."] }
            guard words[1] == "auto" || GDBArchitecture(rawValue: String(words[1])) != nil else { return ["There are auto, \(names)."] }
            wishes.wanted = GDBArchitecture(rawValue: String(words[1]))
            return ["This gdb keeps what it knows; the next one that connects is told '\(words[1])'."]
        case "pc":
            guard words.count > 1, words[1] == "linear" || words[1] == "offset" else {
                return ["The pc is \(isFlat ? "linear: CS's base and the offset" : "the offset in CS"); 'monitor pc linear' or 'monitor pc offset'."]
            }
            isFlat = words[1] == "linear"
            registers?.isFlat = isFlat
            return ["The pc is \(isFlat ? "linear" : "the offset in CS") now; 'maintenance flush register-cache' makes gdb look again."]
        default: return nil
        }
    }
}

/// What a gdb is to be told of the processor.
final class GDBWishes {
    /// What the machine is going to start, as far as its settings say.
    let hint: GDBArchitecture?
    /// `monitor arch`, for the next connection.
    var wanted: GDBArchitecture?
    init(hint: GDBArchitecture?) { self.hint = hint }
}

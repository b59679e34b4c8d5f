import CPU
import Primitives
import Testing

@testable import Hardware

/// One chip on a bench: ports, time and lines, without a board.
struct ChipBench<Chip: Device> {
    var chip: Chip
    var now: Nanoseconds = 0
    var lines: UInt32 = 0
    var requests: [BoardRequest] = []
    /// Rising edges seen on each line, as an edge-sensing controller would see them.
    var rises = [Int](repeating: 0, count: 32)
    let memory: GuestMemory

    init(_ chip: Chip) throws {
        self.chip = chip
        memory = try GuestMemory(ramBytes: 1 << 20, extraBytes: 4096)
    }

    @discardableResult
    mutating func call<Result>(_ body: (inout Chip, inout Wires) -> Result) -> Result {
        var wires = Wires(now: now, lines: lines, memory: memory)
        let result = body(&chip, &wires)
        for line in 0..<32 where wires.lines & ~lines & (1 << UInt32(line)) != 0 { rises[line] += 1 }
        lines = wires.lines
        requests += wires.requests
        return result
    }

    @discardableResult
    mutating func read(_ port: Port) -> UInt8 { call { $0.read(port, &$1) } }
    mutating func write(_ port: Port, _ value: UInt8) { call { $0.write(port, value, &$1) } }

    /// Lets time pass, firing every deadline at its time.
    mutating func run(to time: Nanoseconds) {
        while let due = chip.deadline, due <= time {
            now = max(now, due)
            call { $0.fire(&$1) }
        }
        now = max(now, time)
    }

    mutating func run(for duration: Nanoseconds) { run(to: now + duration) }

    func line(_ n: Int) -> Bool { lines & (1 << UInt32(n)) != 0 }
}

/// A small deterministic generator for fuzz tests (xorshift64*).
struct ChipRandom {
    var state: UInt64
    init(_ seed: UInt64) { state = seed | 1 }
    mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 0x2545_F491_4F6C_DD1D
    }
    mutating func below(_ limit: Int) -> Int { Int(next() >> 33) % limit }
}

/// 100,000 random accesses and pauses: nothing traps. From the middle on a twin, restored from a snapshot, does the same and
/// must see and be the same.
func fuzz<Chip: Device>(_ chip: Chip, seed: UInt64, _ extra: (inout ChipBench<Chip>, inout ChipRandom) -> Void = { _, _ in }) throws {
    var bench = try ChipBench(chip), random = ChipRandom(seed)
    let ports = chip.ports.flatMap { Array($0) }
    var twin: ChipBench<Chip>?
    for step in 0..<100_000 {
        let before = random
        let value = randomStep(&bench, &random, ports, extra)
        if var copy = twin {
            var same = before
            let other = randomStep(&copy, &same, ports, extra)
            if other != value || copy.lines != bench.lines {
                Issue.record("the restored chip differs at step \(step)")
                return
            }
            twin = copy
        }
        if step == 50_000 {
            twin = bench
            twin?.chip = try roundTrip(bench.chip)
        }
        if step % 20_000 == 19_999 { try expectRoundTrip(bench.chip) }
    }
    #expect(twin?.chip == bench.chip)
    // Far in the future, and across a reset.
    bench.now = 1 << 62
    if bench.chip.deadline != nil { bench.call { $0.fire(&$1) } }
    for port in ports { bench.read(port) }
    bench.call { chip, _ in chip.reset() }
    for port in ports { bench.read(port) }
}

/// One random access, a pause and what falls due in it; the value read or nil.
private func randomStep<Chip: Device>(
    _ bench: inout ChipBench<Chip>, _ random: inout ChipRandom, _ ports: [Port],
    _ extra: (inout ChipBench<Chip>, inout ChipRandom) -> Void
) -> UInt8? {
    let port = ports[random.below(ports.count)], value = UInt8(truncatingIfNeeded: random.next())
    var seen: UInt8?
    if random.below(3) == 0 { seen = bench.read(port) } else { bench.write(port, value) }
    bench.now += random.below(8) == 0 ? random.next() >> 38 : random.next() >> 52
    var fires = 0
    while let due = bench.chip.deadline, due <= bench.now, fires < 4 {
        bench.call { $0.fire(&$1) }
        fires += 1
    }
    extra(&bench, &random)
    bench.requests.removeAll(keepingCapacity: true)
    return seen
}

import Primitives

/// What a processor keeps for its debugger.
struct DebugState {
    var points = StopPoints()
    /// Physical watches as ranges of the arena.
    var arenaWatches: [(range: ClosedRange<Int>, reads: Bool, writes: Bool)] = []
    var hits: [DebugHit] = []
    /// Stops at the instruction with this count and address have been told of.
    var passed: (retired: UInt64, linear: Linear)?
    var mode = ExecutionMode.real
    var ring: UInt8 = 0
    var recorder: ExecutionRecorder?

    /// An instruction that hits more is not told of in full.
    static let hitLimit = 64
}

extension Processor {
    /// Where it stops for the debugger. Between two calls of `run`.
    public var stopPoints: StopPoints {
        get { debug.points }
        set {
            guard newValue != debug.points else { return }
            debug.points = newValue
            refreshInterests()
            (debug.mode, debug.ring) = (executionMode, core.cpl)
            replaceStopMap()
            markWatches()
            memory.isWatched = memory.processors.contains { $0.processor.debug.points.watches.contains(where: \.writes) }
        }
    }

    /// What ended the last call of `run` with `.debug`, in order.
    public func takeHits() -> [DebugHit] {
        defer { debug.hits = [] }
        return debug.hits
    }

    /// The next instruction is carried out even if it is at one of the places.
    public func passPlace() { debug.passed = (retired, linearRIP) }

    /// Linear address of the next instruction.
    public var linearRIP: Linear { (core.segment(Seg.cs).base &+ core.rip) & core.t.pointee.addressMask }

    public var executionMode: ExecutionMode {
        let big = core.segment(Seg.cs).isBig
        if !core.isProtected { return .real }
        if core.isV86 { return .virtual8086 }
        if core.is64 { return .long }
        if core.isLong { return big ? .compatibility32 : .compatibility16 }
        return big ? .protected32 : .protected16
    }

    func refreshInterests() {
        var interests = debug.points.interests
        if debug.recorder != nil { interests.formUnion([.ports, .events]) }
        core.t.pointee.debugs = interests
    }

    func note(_ hit: DebugHit) {
        if debug.hits.count < DebugState.hitLimit { debug.hits.append(hit) }
        requestExit()
    }

    // MARK: Places

    /// Blocks are cut anew where that changes something.
    private func replaceStopMap() {
        let old = blocks.stops
        let new = debug.points.hasPlaces ? StopMap(debug.points, memory: memory) : nil
        blocks.stops = new
        let (pages, offsets, all) = StopMap.changes(old, new)
        if all || !pages.isEmpty || !offsets.isEmpty { blocks.drop(places: pages, offsets: offsets, all: all) }
    }

    /// The instruction that the dispatcher is about to carry out alone is at a place: told of, and the run ends.
    func stopsHere(_ c: Core, _ storage: Int) -> Bool {
        let linear = (c.segment(Seg.cs).base &+ c.rip) & c.t.pointee.addressMask
        if let map = blocks.stops, !map.magic, StopMap.isFree(map.bits, linear: linear, offset: c.rip) { return false }
        let points = debug.points
        let isPassed = debug.passed.map { $0.retired == retired && $0.linear == linear } ?? false
        if !isPassed { debug.passed = nil }
        if !isPassed,
            points.linear.contains(linear) || blocks.stops?.storage.contains(storage) == true
                || points.far.contains(.init(selector: c.segment(Seg.cs).selector, offset: c.rip))
        {
            note(.place(linear: linear))
            return true
        }
        if points.magic, storage >= 0 {
            let bytes = UnsafeRawPointer(memory.base + storage)
            // After it: its own effect is none.
            if StopMap.isMagic(bytes, count: 4096 - (storage & 0xFFF), big: c.t.pointee.mode & Mode.big != 0) { note(.magic) }
        }
        return false
    }

    // MARK: Watches

    /// Marks for the tags of a TLB entry, reads and writes.
    func watchMarks(page: Linear, arena: (read: Int, write: Int)) -> (read: UInt64, write: UInt64) {
        var marks: (read: UInt64, write: UInt64) = (0, 0)
        for watch in debug.points.watches where !watch.isPhysical && watch.first <= page | 0xFFF && watch.last >= page {
            if watch.reads { marks.read = TLBEntry.debugMark }
            if watch.writes { marks.write = TLBEntry.debugMark }
        }
        for (range, reads, writes) in debug.arenaWatches {
            if reads, arena.read >= 0, range.overlaps(arena.read...arena.read | 0xFFF) { marks.read = TLBEntry.debugMark }
            if writes, arena.write >= 0, range.overlaps(arena.write...arena.write | 0xFFF) { marks.write = TLBEntry.debugMark }
        }
        return marks
    }

    /// In place: the guest must not notice that its translations are looked at.
    func markWatches() {
        core.dropShortcuts()
        debug.arenaWatches = []
        for watch in debug.points.watches where watch.isPhysical {
            var page = watch.first & ~0xFFF
            var pages = 0
            while page <= watch.last, pages < 1 << 16 {
                let place = memory.page(page).read
                if place >= 0 {
                    let from = place + Int(max(watch.first, page) - page), to = place + Int(min(watch.last - page, 0xFFF))
                    debug.arenaWatches.append((from...to, watch.reads, watch.writes))
                }
                guard page <= UInt64.max - 0x1000 else { break }
                page += 0x1000
                pages += 1
            }
        }
        let tlb = core.t.pointee.systemTLB
        for index in 0..<(2 * TLBEntry.entries) {
            let entry = tlb[index]
            let tag = entry.read & TLBEntry.invalid == 0 ? entry.read : entry.write
            guard tag & TLBEntry.invalid == 0 else { continue }
            let page = tag & ~0xFFF
            let arena = Int(bitPattern: entry.addend &+ UInt(truncatingIfNeeded: page) &- UInt(bitPattern: memory.base))
            let marks = watchMarks(page: page, arena: (arena, arena))
            if entry.read & TLBEntry.invalid == 0 { tlb[index].read = entry.read & ~TLBEntry.debugMark | marks.read }
            if entry.write & TLBEntry.invalid == 0 { tlb[index].write = entry.write & ~TLBEntry.debugMark | marks.write }
        }
    }

    /// Physical places and watches lead elsewhere when the map changes. The TLB has been flushed.
    func refreshStops() {
        if !debug.points.physical.isEmpty { replaceStopMap() }
        if debug.points.watches.contains(where: \.isPhysical) { markWatches() }
    }

    /// An access touches something that is watched. `host`: arena offset, or -1 for a register window at `physical`.
    func isWatched(_ address: Linear, _ bytes: Int, write: Bool, arena: Int, physical: Physical) -> Bool {
        let last = address &+ UInt64(bytes &- 1)
        for watch in debug.points.watches where write ? watch.writes : watch.reads {
            if !watch.isPhysical {
                if address <= watch.last && last >= watch.first { return true }
            } else if arena < 0, physical <= watch.last, physical &+ UInt64(bytes &- 1) >= watch.first {
                return true
            }
        }
        guard arena >= 0 else { return false }
        for (range, reads, writes) in debug.arenaWatches where write ? writes : reads {
            if range.overlaps(arena...arena + bytes - 1) { return true }
        }
        return false
    }

    /// Pages of one watch that are looked up for a bus master's write. A larger watch is looked at by its first ones only.
    private static let masterPages: UInt64 = 4096

    /// A bus master writes these bytes of the arena, all on one page. False: nothing there is watched by this processor.
    func noteMaster(_ offset: Int, _ count: Int) -> Bool {
        var found = false
        for watch in debug.points.watches where watch.writes {
            guard let (address, bytes) = overlap(watch, offset, count) else { continue }
            found = true
            note(.device(address: address, isPhysical: watch.isPhysical, bytes: bytes))
        }
        return found
    }

    /// What a watch has of some bytes of the arena that lie on one page: the first byte's address as the watch counts them, and how many.
    private func overlap(_ watch: StopPoints.Watch, _ offset: Int, _ count: Int) -> (address: UInt64, bytes: Int)? {
        let first = watch.first & ~0xFFF, pages = min((watch.last &- first) >> 12, Processor.masterPages - 1)
        for n in 0...pages {
            let page = first &+ n << 12
            guard let physical = watch.isPhysical ? page : peekPhysical(page) else { continue }
            let place = memory.page(physical).write
            guard place >= 0, place & ~0xFFF == offset & ~0xFFF else { continue }
            let from = max(page &+ UInt64(offset & 0xFFF), watch.first), to = min(page &+ UInt64((offset & 0xFFF) + count - 1), watch.last)
            if from <= to { return (from, Int(to - from) + 1) }
        }
        return nil
    }

    // MARK: Events

    /// The state has been changed from outside: nothing has happened.
    func forgetHits() {
        debug.hits = []
        debug.passed = nil
        (debug.mode, debug.ring) = (executionMode, core.cpl)
    }

    func noteMode() {
        let (mode, ring) = (executionMode, core.cpl)
        if debug.points.modes, mode != debug.mode { note(.mode(from: debug.mode, to: mode)) }
        if debug.points.rings, ring != debug.ring { note(.ring(from: debug.ring, to: ring)) }
        (debug.mode, debug.ring) = (mode, ring)
    }

    func noteSensitive(_ what: SensitiveInstruction, _ place: Int, _ cell: CensusCell) {
        guard debug.points.sensitive.contains(what), let place = CensusPlace(rawValue: UInt8(truncatingIfNeeded: place)) else { return }
        note(.sensitive(what, place, selector: cell.selector, offset: cell.offset))
    }

    func noteEvent(_ vector: UInt8, _ kind: EventKind, _ errorCode: UInt16?) {
        let (set, shown): (Set<UInt8>, DebugHit.EventKind)
        switch kind {
        case .software, .int3, .icebp: (set, shown) = (debug.points.software, .software)
        case .external, .nmi: (set, shown) = (debug.points.external, .external)
        case .exception, .trap: (set, shown) = (debug.points.exceptions, .exception)
        }
        debug.recorder?.sink?(.delivery(shown, vector: vector, errorCode: errorCode))
        guard set.contains(vector) else { return }
        note(
            .event(
                shown, vector: vector, errorCode: errorCode, selector: core.segment(Seg.cs).selector, offset: core.t.pointee.instructionRIP,
                rax: core.reg(0, UInt64.self)))
    }

    // MARK: Ports

    @inline(__always)
    func readPort(_ port: Port, size: Int) -> UInt32 {
        let value = bus.readPort(port, size: size)
        if core.t.pointee.debugs.contains(.ports) { notePort(port, size, write: false, value) }
        return value
    }

    @inline(__always)
    func writePort(_ port: Port, size: Int, _ value: UInt32) {
        if core.t.pointee.debugs.contains(.ports) { notePort(port, size, write: true, value) }
        bus.writePort(port, size: size, value)
    }

    @inline(never)
    private func notePort(_ port: Port, _ size: Int, write: Bool, _ value: UInt32) {
        let last = Port(min(Int(port) + size - 1, 0xFFFF))
        debug.recorder?.sink?(.port(port, bytes: size, write: write, value: value))
        guard debug.points.ports.contains(where: { (write ? $0.writes : $0.reads) && $0.ports.overlaps(port...last) }) else { return }
        let mask: UInt32 = size >= 4 ? .max : (1 << UInt32(8 * size)) - 1
        note(.port(port, bytes: size, write: write, value: value & mask))
    }
}

extension TLBEntry {
    /// The page is watched by the debugger.
    static let debugMark: UInt64 = 8
}

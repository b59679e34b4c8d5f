import CPU
import Primitives

extension PC: CPUBus {
    // MARK: Ports

    public func readPort(_ port: Port, size: Int) -> UInt32 {
        if port & 0xFFF8 == 0xCF8 {
            if port == PCIBus.addressPort, size == 4 { return pci.latch }
            if port >= 0xCFC, Int(port) + size <= 0xD00 { return readConfig(port, size) }
        }
        if let position = bus.owner(of: port, size: size) {
            begin(position)
            let value = size == 1 ? UInt32(devices[position].read(port, &wires)) : devices[position].readWide(port, size: size, &wires)
            wires.trace(.io, .portRead, size: UInt16(truncatingIfNeeded: size), place: UInt32(port), value: UInt64(value))
            finish(position)
            return value
        }
        guard size > 1 else { return 0xFF }
        var value: UInt32 = 0
        for i in 0..<size { value |= (readPort(port &+ Port(i), size: 1) & 0xFF) << UInt32(8 * i) }
        return value
    }

    public func writePort(_ port: Port, size: Int, _ value: UInt32) {
        if port & 0xFFF8 == 0xCF8 {
            if port == PCIBus.addressPort, size == 4 { return pci.write(value) }
            if port >= 0xCFC, Int(port) + size <= 0xD00 { return writeConfig(port, size, value) }
        }
        if let position = bus.owner(of: port, size: size) {
            begin(position)
            wires.trace(.io, .portWrite, size: UInt16(truncatingIfNeeded: size), place: UInt32(port), value: UInt64(value))
            if size == 1 {
                devices[position].write(port, UInt8(truncatingIfNeeded: value), &wires)
            } else {
                devices[position].writeWide(port, size: size, value, &wires)
            }
            return finish(position)
        }
        guard size > 1 else { return }
        for i in 0..<size { writePort(port &+ Port(i), size: 1, value >> UInt32(8 * i)) }
    }

    // MARK: PCI configuration

    private func readConfig(_ port: Port, _ size: Int) -> UInt32 {
        let ones: UInt32 = size == 4 ? .max : (1 << UInt32(8 * size)) - 1
        guard let target = pci.target, functions[target] != 255 else { return ones }
        let position = Int(functions[target])
        begin(position)
        let value = devices[position].configReadWide(pci.offset(port), size: size, &wires)
        traceConfig(.configRead, target, port, size, value)
        finish(position)
        return value
    }

    private func writeConfig(_ port: Port, _ size: Int, _ value: UInt32) {
        guard let target = pci.target, functions[target] != 255 else { return }
        let position = Int(functions[target])
        let (ports, windows) = (devices[position].ports, devices[position].windows)
        begin(position)
        traceConfig(.configWrite, target, port, size, value)
        devices[position].configWrite(pci.offset(port), size: size, value, &wires)
        linesChanged = true  // the write may have been to the interrupt routing
        finish(position)
        let moved = devices[position].ports != ports || devices[position].windows != windows
        if moved { bus.reconnect(devices) }
        // Command register, base addresses and expansion ROM move memory windows.
        let offset = pci.offset(port)
        if moved || offset < 0x28 || offset & 0xFC == 0x30 { mapMemory() }
    }

    private func traceConfig(_ code: TraceCode, _ target: Int, _ port: Port, _ size: Int, _ value: UInt32) {
        let place = UInt32(target) << 8 | UInt32(pci.offset(port))
        wires.trace(.pci, code, size: UInt16(truncatingIfNeeded: size), place: place, value: UInt64(value))
    }

    // MARK: Register windows

    public func readMMIO(_ address: Physical, size: Int) -> UInt64 {
        guard let position = owner(at: address) else { return size >= 8 ? .max : (1 << UInt64(8 * size)) - 1 }
        begin(position)
        let read = devices[position].readMemory(address, size: size, &wires)
        let value = size >= 8 ? read : read & ((1 << UInt64(8 * size)) - 1)
        traceMemory(.registerRead, size, address, value)
        finish(position)
        return value
    }

    public func writeMMIO(_ address: Physical, size: Int, _ value: UInt64) {
        guard let position = owner(at: address) else { return }
        begin(position)
        traceMemory(.registerWrite, size, address, value)
        devices[position].writeMemory(address, size: size, value, &wires)
        finish(position)
    }

    /// The chip whose register window an access of the running processor reaches.
    private func owner(at address: Physical) -> Int? {
        guard let position = bus.owner(at: address) else { return nil }
        guard engines.count > 1, place.lapics.contains(position) else { return position }
        // Each processor has its own local APIC, where its IA32_APIC_BASE says.
        let own = place.lapics[current]
        return chip(own, LAPIC.self) { $0.enabled && $0.base == address & ~0xFFF } ? own : nil
    }

    // MARK: Processor pins and registers

    public func setFERR(_ asserted: Bool) { call(place.coprocessor, CoprocessorError.self) { $0.setFERR(asserted, &$1) } }

    public func readMSR(_ index: UInt32) -> UInt64? { index == 0x1B ? chip(place.lapics[current], LAPIC.self) { $0.apicBase } : nil }

    public func writeMSR(_ index: UInt32, _ value: UInt64) -> Bool {
        guard index == 0x1B else { return false }
        guard chip(place.lapics[current], LAPIC.self, { $0.writeBase(value) }) else { return false }
        bus.reconnect(devices)
        mapMemory()
        settleInterrupts()
        return true
    }

    // MARK: One call of a chip

    @inline(__always)
    func begin(_ position: Int) {
        wires.now = now()
        wires.lines = driven[position]
        if wires.tap != nil { wires.position = engine.tracePosition }
    }

    /// What the call changed takes effect.
    @inline(__always)
    func finish(_ position: Int) {
        if wires.lines != driven[position] {
            driven[position] = wires.lines
            linesChanged = true
        }
        let deadline = devices[position].deadline ?? .max
        if deadline != deadlines[position] { move(deadlineOf: position, to: deadline) }
        if linesChanged || place.settles[position] { settleInterrupts() }
        if !wires.requests.isEmpty { carryOutRequests() }
        if wires.dreq != 0 { serveDMA(raisedBy: position) }
    }

    /// A call of a chip of the wiring by its type, with wires.
    func call<D: Device, R>(_ position: Int, _ type: D.Type, _ body: (inout D, inout Wires) -> R) -> R {
        begin(position)
        let result = chip(position, type) { body(&$0, &wires) }
        finish(position)
        return result
    }

    private func move(deadlineOf position: Int, to deadline: Nanoseconds) {
        deadlines[position] = deadline
        guard deadline < nextDeadline else { return }
        nextDeadline = deadline
        paced.pointee.deadlineMoved(to: deadline)
        engine.requestExit()  // the present budget goes past it
    }

    // MARK: Requests

    private func carryOutRequests() {
        let requests = wires.requests
        wires.requests.removeAll(keepingCapacity: true)
        for request in requests {
            switch request {
            case .setA20(let enabled):
                memory.setA20(enabled)
                traceMemory(.a20, 0, 0, enabled ? 1 : 0)
                chip(place.a20, A20Gate.self) { $0.a20Changed(enabled) }
            case .remap:
                traceMemory(.memoryMap, 0, 0, 0)
                bus.reconnect(devices)
                mapMemory()
            case .reset(let cpuOnly):
                // A shutdown code in CMOS says that firmware will hand control back: the processor alone is meant (AT BIOS, 80286
                // return to real mode). Otherwise a guest that pulses the line wants to reboot.
                if cpuOnly, shutdownCode != 0 { pendingINIT = allProcessors } else { pendingReset = true }
            case .powerOff: stop(.powerOff)
            case .debugExit(let value): stop(.debugExit(value))
            case .bootHook(let value): stop(.bootHook(value))
            case .emit(let stream, let bytes):
                if let last = output.indices.last, output[last].0 == stream {
                    output[last].1 += bytes
                } else {
                    output.append((stream, bytes))
                }
                outputBytes += bytes.count
                guard outputBytes >= PC.outputLimit else { continue }  // the slice ends: somebody has to take it
            }
            engine.requestExit()
        }
    }

    /// The first stop of a slice wins.
    func stop(_ reason: PCStop) { if pendingStop == nil { pendingStop = reason } }
}

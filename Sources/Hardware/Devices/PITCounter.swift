/// Intel 8254 programmable interval timer, one of its counters.
///
/// Source: Intel *8254 Programmable Interval Timer* data sheet (order 231164), "Mode Definitions" and "Operation Common to All
/// Modes".
///
/// Not implemented: see `PIT`.
extension PIT {
    /// One of the 8254's three counters, valid at tick `time` of the 1.193 MHz clock. A count written between two ticks is
    /// loaded at the next one.
    public struct Counter: Codable, Equatable, Sendable {
        enum Phase: UInt8, Codable, Sendable {
            /// No count loaded since the control word.
            case idle
            /// Counting element runs towards its event.
            case counting
            /// The one-time event of modes 0, 1, 4 and 5 has happened; the element wraps on.
            case done
        }

        /// Control word bits 5…0 as written: RW1 RW0 M2 M1 M0 BCD.
        public internal(set) var word: UInt8 = 0b11_000_0
        public internal(set) var gate = true
        public internal(set) var out = true
        /// Count register: what the guest wrote, in its own coding.
        public internal(set) var countRegister: UInt16 = 0
        /// The count register has not reached the counting element.
        public internal(set) var nullCount = true
        /// Tick at which the fields below are valid.
        var time: UInt64 = 0
        var phase = Phase.idle
        /// Units left, 0…65,536. Mode 3: ticks left of the half period.
        var element: UInt32 = 0
        /// Mode 3: the half period under way belongs to an odd count.
        var odd = false
        /// Tick at which the count register is loaded (modes 1 and 5: by the trigger).
        var loadAt: UInt64?
        /// First byte of a two-byte count.
        var lowByte: UInt8 = 0
        var writeHighNext = false, readHighNext = false
        /// Output latch; nil follows the element.
        var latched: UInt16?
        var latchedStatus: UInt8?

        /// Modes 6 and 7 are 2 and 3: M2 does not matter for them.
        var mode: UInt8 {
            let bits = word >> 1 & 7
            return bits > 5 ? bits - 4 : bits
        }
        var access: UInt8 { word >> 4 & 3 }
        var bcd: Bool { word & 1 != 0 }
        var modulus: UInt32 { bcd ? 10_000 : 65_536 }
        var isPeriodic: Bool { (mode == 2 || mode == 3) && phase != .idle }

        /// The count register as a number of ticks; 0 stands for the modulus.
        var reload: UInt32 {
            var value = UInt32(countRegister)
            if bcd {
                let digits = (value & 0xF) + (value >> 4 & 0xF) * 10 + (value >> 8 & 0xF) * 100 + (value >> 12) * 1000
                value = digits % 10_000  // digits above 9 are the guest's mistake
            }
            return value == 0 ? modulus : value
        }
        /// Mode 3: high for (N + 1) / 2 ticks, low for N / 2.
        private var highHalf: UInt32 { (reload + 1) / 2 }
        private var lowHalf: UInt32 { max(reload / 2, 1) }

        // MARK: Programming (the caller has advanced the counter to now)

        mutating func program(_ bits: UInt8) {
            word = bits
            nullCount = true
            phase = .idle
            loadAt = nil
            latched = nil
            latchedStatus = nil
            writeHighNext = false
            readHighNext = false
            out = mode != 0
        }

        mutating func write(_ value: UInt8) {
            switch access {
            case 1: commit(UInt16(value))
            case 2: commit(UInt16(value) << 8)
            default:
                if writeHighNext {
                    writeHighNext = false
                    commit(UInt16(value) << 8 | UInt16(lowByte))
                } else {
                    lowByte = value
                    writeHighNext = true
                    if mode == 0 {
                        // "Writing the first byte disables counting. OUT is set low immediately."
                        phase = .idle
                        loadAt = nil
                        out = false
                    }
                }
            }
        }

        private mutating func commit(_ count: UInt16) {
            countRegister = count
            nullCount = true
            switch mode {
            case 0:
                out = false
                loadAt = time &+ 1
            case 4: loadAt = time &+ 1
            case 2, 3: if phase == .idle { loadAt = time &+ 1 }  // else at the end of the cycle
            default: break  // 1, 5: at the trigger
            }
        }

        mutating func setGate(_ level: Bool) {
            guard level != gate else { return }
            gate = level
            switch mode {
            case 1, 5: if level { loadAt = time &+ 1 }
            case 2, 3:
                if !level {
                    out = true
                } else if phase != .idle {
                    loadAt = time &+ 1
                }
            default: break
            }
        }

        // MARK: Reading

        /// What the counting element shows, in the guest's coding.
        ///
        /// A count that waits for its first tick is shown already, a deviation: on real boards an ISA access takes longer than a tick, so
        /// that no program sees the old one. Linux's quick TSC calibration depends on it.
        var shown: UInt16 {
            if loadAt != nil { return countRegister }
            var value = element
            if mode == 3 {
                value = out && odd ? (element == 0 ? 0 : (element - 1) * 2) : element * 2
            }
            value %= modulus
            guard bcd else { return UInt16(truncatingIfNeeded: value) }
            let digits = (value / 1000) << 12 | (value / 100 % 10) << 8 | (value / 10 % 10) << 4 | value % 10
            return UInt16(truncatingIfNeeded: digits)
        }

        var status: UInt8 { (out ? 0x80 : 0) | (nullCount ? 0x40 : 0) | word }

        mutating func latchCount() { if latched == nil { latched = shown } }
        mutating func latchStatus() { if latchedStatus == nil { latchedStatus = status } }

        func peek() -> UInt8 {
            if let latchedStatus { return latchedStatus }
            let value = latched ?? shown
            let high = access == 2 || (access == 3 && readHighNext)
            return UInt8(truncatingIfNeeded: high ? value >> 8 : value)
        }

        mutating func read() -> UInt8 {
            let value = peek()
            if latchedStatus != nil {
                latchedStatus = nil
            } else if access == 3 {
                if readHighNext { latched = nil }
                readHighNext.toggle()
            } else {
                latched = nil
            }
            return value
        }

        // MARK: Time

        mutating func advance(to tick: UInt64) {
            guard tick > time else { return }
            if let load = loadAt, load <= tick {
                if load > time { run(load - time) }
                time = max(time, load)
                loadElement()
            }
            if tick > time { run(tick - time) }
            time = tick
        }

        private mutating func loadElement() {
            loadAt = nil
            nullCount = false
            phase = .counting
            switch mode {
            case 3:
                odd = reload & 1 != 0
                element = highHalf
                out = true
            default:
                element = reload
                if mode == 1 { out = false } else if mode != 0 { out = true }
                if mode == 2, gate { out = element != 1 }
            }
        }

        /// Lets `ticks` > 0 pass.
        private mutating func run(_ ticks: UInt64) {
            guard phase != .idle else { return }
            switch mode {
            case 0:
                guard gate else { return }
                if phase == .counting, ticks >= UInt64(element) {
                    out = true
                    phase = .done
                }
                countDown(ticks)
            case 1:
                if phase == .counting, ticks >= UInt64(element) {
                    out = true
                    phase = .done
                }
                countDown(ticks)
            case 2: if gate { runRate(ticks) }
            case 3: if gate { runSquare(ticks) }
            default:
                guard mode == 5 || gate else { return }
                if phase == .counting {
                    // The strobe is the tick at which the element is 0.
                    out = ticks != UInt64(element)
                    if ticks > UInt64(element) { phase = .done }
                }
                countDown(ticks)
            }
        }

        private mutating func countDown(_ ticks: UInt64) {
            let m = UInt64(modulus)
            element = UInt32((UInt64(element) + m - ticks % m) % m)
        }

        private mutating func runRate(_ ticks: UInt64) {
            if ticks < UInt64(element) {
                element -= UInt32(ticks)
            } else {
                let period = UInt64(reload)
                element = reload - UInt32((ticks - UInt64(element)) % period)
                nullCount = false
            }
            out = element != 1
        }

        private mutating func runSquare(_ ticks: UInt64) {
            var left = ticks
            if left < UInt64(element) {
                element -= UInt32(left)
                return
            }
            left -= UInt64(element)
            out.toggle()
            nullCount = false
            odd = reload & 1 != 0
            left %= UInt64(highHalf + lowHalf)
            while true {
                let half = out ? highHalf : lowHalf
                if left < UInt64(half) {
                    element = half - UInt32(left)
                    return
                }
                left -= UInt64(half)
                out.toggle()
            }
        }

        /// Tick of the next rising edge of OUT, as programmed now.
        var nextRise: UInt64? {
            if let load = loadAt {
                switch mode {
                case 0: return gate ? load &+ UInt64(reload) : nil
                case 1: return load &+ UInt64(reload)
                case 2: return gate && reload > 1 ? load &+ UInt64(reload) : nil
                case 3: return gate && reload > 1 ? load &+ UInt64(highHalf) &+ UInt64(lowHalf) : nil
                default: return gate || mode == 5 ? load &+ UInt64(reload) &+ 1 : nil
                }
            }
            guard phase == .counting else { return nil }
            switch mode {
            case 0: return gate && !out ? time &+ UInt64(element) : nil
            case 1: return time &+ UInt64(element)
            case 2: return gate && (reload > 1 || element > 1) ? time &+ UInt64(element) : nil
            case 3:
                guard gate, reload > 1 else { return nil }
                return time &+ UInt64(element) &+ (out ? UInt64(lowHalf) : 0)
            default: return gate || mode == 5 ? time &+ UInt64(element) &+ 1 : nil
            }
        }
    }
}

import Primitives

/// Motorola MC146818A real-time clock and CMOS RAM, PC/AT wiring, with the PIIX3's extended bank.
///
/// Source: Motorola *MC146818A Real-Time Clock Plus RAM* data sheet (1984); IBM *PC/AT Technical Reference* (1984), "Real-Time Clock";
/// Intel *82371FB/82371SB* data sheet (order 290550), "Real Time Clock".
///
///     port  R/W  register
///     0x70   W   index; bit 7 masks NMI
///     0x71  R/W  data at index
///     0x72   W   index into the extended 128 bytes
///     0x73  R/W  data there
///
/// The time is start time plus guest time; registers are brought up to date when somebody looks. The IRQ8 line stays high until
/// register C is read. The century at 0x32 counts on with the year, as firmware expects of a PC.
///
/// Not implemented: square-wave output (SQW), daylight saving (DSE), dividers for crystals other than 32,768 Hz. Leap years are
/// those of the chip: every year whose last two digits divide by 4.
public struct CMOSClock: Device {
    public static let name = "rtc"
    public static let stateLimits: [String: ClosedRange<Int64>] = ["index": 0...127, "extendedIndex": 0...127]

    static let crystal = ClockRate(hertz: 32_768)
    private static let second: Nanoseconds = 1_000_000_000
    /// UIP rises 244 µs before an update, which takes 1,984 µs (data sheet, table "Update Cycle Times").
    private static let updateTime: Nanoseconds = 2_228_000

    /// CMOS RAM, 128 bytes; bytes 0x00–0x0D are the clock's registers as of the last look.
    public private(set) var ram = [UInt8](repeating: 0, count: 128)
    /// Extended bank, 128 bytes.
    public private(set) var extended = [UInt8](repeating: 0, count: 128)
    /// Index latches, 7 bits.
    public private(set) var index: UInt8 = 0, extendedIndex: UInt8 = 0
    /// Port 0x70 bit 7: the board gates NMI with it.
    public private(set) var nmiMasked = false
    /// Guest time at which the divider chain stood at 0, modulo 2^64; updates happen whole seconds after it.
    public private(set) var origin: Nanoseconds = 0
    /// Seconds and periodic ticks since `origin` already accounted for.
    public private(set) var secondsSeen: UInt64 = 0, periodsSeen: UInt64 = 0
    public private(set) var deadline: Nanoseconds?

    /// - Parameter epochSeconds: time at guest time 0, in seconds since 1970-01-01 00:00 (years 1970–9999).
    public init(epochSeconds: Int64 = 0) {
        ram[Register.a] = 0b0_010_0110  // 32,768 Hz, periodic rate 1,024 Hz
        ram[Register.b] = Bit.hours24
        ram[Register.d] = Bit.validRAM
        setTime(epochSeconds)
    }

    public var ports: [ClosedRange<Port>] { [0x70...0x73] }

    /// RESET disables the interrupts and clears the flags; time and RAM are kept by the battery.
    public mutating func reset() {
        ram[Register.b] &= ~(Bit.periodic | Bit.alarm | Bit.update | Bit.squareWave)
        ram[Register.c] = 0
        nmiMasked = false
        deadline = nil
    }

    // MARK: Ports

    public mutating func read(_ port: Port, _ wires: inout Wires) -> UInt8 {
        switch port {
        case 0x71:
            catchUp(wires.now)
            var value = ram[Int(index)]
            if Int(index) == Register.a, updateInProgress(wires.now) { value |= Bit.updateInProgress }
            if Int(index) == Register.c { ram[Register.c] = 0 }  // reading C acknowledges
            settle(&wires)
            return value
        case 0x73: return extended[Int(extendedIndex)]
        default: return 0xFF  // the index latches are write-only
        }
    }

    public mutating func write(_ port: Port, _ value: UInt8, _ wires: inout Wires) {
        switch port {
        case 0x70:
            index = value & 0x7F
            nmiMasked = value & 0x80 != 0
        case 0x71:
            wires.trace(.rtc, .cmosWrite, place: UInt32(index), value: UInt64(value))
            catchUp(wires.now)
            writeRegister(Int(index), value, wires.now)
            settle(&wires)
        case 0x72: extendedIndex = value & 0x7F
        case 0x73: extended[Int(extendedIndex)] = value
        default: break
        }
    }

    private mutating func writeRegister(_ register: Int, _ value: UInt8, _ now: Nanoseconds) {
        switch register {
        case Register.a:
            let wasRunning = running
            ram[Register.a] = value & 0x7F
            if running, !wasRunning {
                // "The first update cycle begins one-half second" after the divider reset is released.
                origin = now &- Self.second / 2
                secondsSeen = 0
            }
            periodsSeen = periods(now)
        case Register.b:
            var value = value
            if value & ~ram[Register.b] & Bit.set != 0 { value &= ~Bit.update }  // SET going high clears UIE
            ram[Register.b] = value
        case Register.c, Register.d: break
        default: ram[register] = value
        }
    }

    public func peek(_ port: Port) -> UInt8 {
        switch port {
        case 0x70: index | (nmiMasked ? 0x80 : 0)
        case 0x71: ram[Int(index)]
        case 0x72: extendedIndex
        case 0x73: extended[Int(extendedIndex)]
        default: 0xFF
        }
    }

    /// A CMOS byte (0–127), for the board's settings and the debugger. The clock's registers are as of the last look.
    public subscript(_ offset: Int) -> UInt8 {
        get { ram[offset & 0x7F] }
        set { ram[offset & 0x7F] = newValue }
    }

    // MARK: Time

    public mutating func fire(_ wires: inout Wires) {
        catchUp(wires.now)
        settle(&wires)
    }

    /// Time that the guest did not live through, as if its machine had been off: the battery's clock goes on, and nobody is told.
    public mutating func pass(seconds: UInt64) {
        guard running, !halted else { return }
        _ = advanceTime(by: seconds)
    }

    private var running: Bool { ram[Register.a] & 0b0_110_0000 != 0b0_110_0000 }
    private var halted: Bool { ram[Register.b] & Bit.set != 0 }

    /// Crystal cycles between two periodic interrupts; 0 = none. Rates 1 and 2 repeat 8 and 9.
    private var periodCycles: UInt64 {
        let rate = UInt64(ram[Register.a] & 0xF)
        return rate == 0 ? 0 : 1 << ((rate < 3 ? rate + 7 : rate) - 1)
    }

    private func periods(_ now: Nanoseconds) -> UInt64 {
        periodCycles == 0 ? 0 : Self.crystal.ticks(at: now &- origin) / periodCycles
    }

    private func updateInProgress(_ now: Nanoseconds) -> Bool {
        running && !halted && (now &- origin) % Self.second >= Self.second - Self.updateTime
    }

    private mutating func catchUp(_ now: Nanoseconds) {
        guard running else { return }
        let ticks = periods(now)
        if ticks > periodsSeen {
            periodsSeen = ticks
            ram[Register.c] |= Bit.periodic
        }
        let seconds = (now &- origin) / Self.second
        guard seconds > secondsSeen else { return }
        let passed = seconds - secondsSeen
        secondsSeen = seconds
        guard !halted else { return }
        ram[Register.c] |= Bit.update
        if advanceTime(by: passed) { ram[Register.c] |= Bit.alarm }
    }

    /// IRQF, the line and the next deadline from the flags.
    private mutating func settle(_ wires: inout Wires) {
        let enabled = ram[Register.b] & (Bit.periodic | Bit.alarm | Bit.update)
        let pending = ram[Register.c] & enabled != 0
        ram[Register.c] = ram[Register.c] & ~Bit.irq | (pending ? Bit.irq : 0)
        wires.set(irq: 8, pending)
        deadline = nil
        guard running, !pending else { return }  // once pending, nothing changes the line until C is read
        if enabled & Bit.periodic != 0, periodCycles != 0 {
            deadline = origin &+ Self.crystal.time(of: (periodsSeen &+ 1) &* periodCycles)
        }
        if enabled & (Bit.alarm | Bit.update) != 0, !halted {
            let next = origin &+ (secondsSeen &+ 1) &* Self.second
            deadline = min(deadline ?? next, next)
        }
    }

    // MARK: Calendar

    private var binary: Bool { ram[Register.b] & Bit.binary != 0 }

    private func decode(_ byte: UInt8) -> Int {
        binary ? Int(byte) : Int(byte >> 4) * 10 + Int(byte & 0xF)
    }

    private func encode(_ value: Int) -> UInt8 {
        binary ? UInt8(truncatingIfNeeded: value) : UInt8(truncatingIfNeeded: (value / 10 % 10) << 4 | value % 10)
    }

    /// Hours 0–23 of an hours register in either format.
    private func decodeHours(_ byte: UInt8) -> Int {
        guard ram[Register.b] & Bit.hours24 == 0 else { return decode(byte) }
        return decode(byte & 0x7F) % 12 + (byte & 0x80 != 0 ? 12 : 0)
    }

    private func encodeHours(_ hours: Int) -> UInt8 {
        guard ram[Register.b] & Bit.hours24 == 0 else { return encode(hours) }
        return encode(hours % 12 == 0 ? 12 : hours % 12) | (hours >= 12 ? 0x80 : 0)
    }

    /// Lets `seconds` updates happen; true when the alarm matched at one of them.
    private mutating func advanceTime(by seconds: UInt64) -> Bool {
        let start = decodeHours(ram[Register.hours]) * 3600 + decode(ram[Register.minutes]) * 60 + decode(ram[Register.seconds])
        let alarm = alarmMatches(after: start, seconds: Int(min(seconds, 86_400)))
        let total = start + Int(min(seconds, 1 << 40))
        let time = total % 86_400
        ram[Register.seconds] = encode(time % 60)
        ram[Register.minutes] = encode(time / 60 % 60)
        ram[Register.hours] = encodeHours(time / 3600)
        let days = total / 86_400
        if days > 0 { advanceDate(by: days) }
        return alarm
    }

    private func alarmMatches(after start: Int, seconds: Int) -> Bool {
        // An alarm byte with bits 7 and 6 set matches everything (data sheet, "Time, Calendar and Alarm Locations").
        func wanted(_ register: Int, _ decoder: (UInt8) -> Int) -> Int? {
            ram[register] & 0xC0 == 0xC0 ? nil : decoder(ram[register])
        }
        let hour = wanted(Register.hoursAlarm, decodeHours)
        let minute = wanted(Register.minutesAlarm, decode), second = wanted(Register.secondsAlarm, decode)
        for step in 0..<seconds {
            let time = (start + step + 1) % 86_400
            if second ?? time % 60 == time % 60, minute ?? (time / 60 % 60) == time / 60 % 60, hour ?? (time / 3600) == time / 3600 {
                return true
            }
        }
        return false
    }

    private mutating func advanceDate(by days: Int) {
        var day = max(decode(ram[Register.day]), 1), month = max(decode(ram[Register.month]), 1)
        var year = decode(ram[Register.year])
        ram[Register.weekday] = encode((max(decode(ram[Register.weekday]), 1) - 1 + days) % 7 + 1)
        // 400 years are enough for anybody's pause and keep the loop short.
        for _ in 0..<min(days, 146_097) {
            day += 1
            guard day > Self.daysInMonth(month, leap: year % 4 == 0) else { continue }
            day = 1
            month += 1
            guard month > 12 else { continue }
            month = 1
            year += 1
            guard year > 99 else { continue }
            year = 0
            ram[Register.century] = encode((decode(ram[Register.century]) + 1) % 100)
        }
        ram[Register.day] = encode(day)
        ram[Register.month] = encode(month)
        ram[Register.year] = encode(year)
    }

    private static func daysInMonth(_ month: Int, leap: Bool) -> Int {
        switch month {
        case 2: leap ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    private mutating func setTime(_ epochSeconds: Int64) {
        let epoch = min(max(epochSeconds, 0), 253_402_300_799)  // 9999-12-31 23:59:59
        var days = Int(epoch / 86_400)
        let time = Int(epoch % 86_400)
        ram[Register.seconds] = encode(time % 60)
        ram[Register.minutes] = encode(time / 60 % 60)
        ram[Register.hours] = encodeHours(time / 3600)
        ram[Register.weekday] = encode((days + 4) % 7 + 1)  // 1970-01-01 was a Thursday; Sunday is 1
        var year = 1970
        func isLeap(_ year: Int) -> Bool { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) }
        while days >= (isLeap(year) ? 366 : 365) {
            days -= isLeap(year) ? 366 : 365
            year += 1
        }
        var month = 1
        while days >= Self.daysInMonth(month, leap: isLeap(year)) {
            days -= Self.daysInMonth(month, leap: isLeap(year))
            month += 1
        }
        ram[Register.day] = encode(days + 1)
        ram[Register.month] = encode(month)
        ram[Register.year] = encode(year % 100)
        ram[Register.century] = encode(year / 100)
    }

    enum Register {
        static let seconds = 0x00, secondsAlarm = 0x01, minutes = 0x02, minutesAlarm = 0x03, hours = 0x04, hoursAlarm = 0x05
        static let weekday = 0x06, day = 0x07, month = 0x08, year = 0x09
        static let a = 0x0A, b = 0x0B, c = 0x0C, d = 0x0D
        static let century = 0x32
    }

    enum Bit {
        /// Register A.
        static let updateInProgress: UInt8 = 0x80
        /// Register B: SET, SQWE, DM, 24/12.
        static let set: UInt8 = 0x80, squareWave: UInt8 = 0x08, binary: UInt8 = 0x04, hours24: UInt8 = 0x02
        /// Registers B (enable) and C (flag).
        static let periodic: UInt8 = 0x40, alarm: UInt8 = 0x20, update: UInt8 = 0x10
        /// Register C: IRQF. Register D: VRT.
        static let irq: UInt8 = 0x80, validRAM: UInt8 = 0x80
    }
}
